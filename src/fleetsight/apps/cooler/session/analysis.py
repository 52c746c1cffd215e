"""Lets a child process look at clips, and outlives whatever a clip does to it.

The child keeps the loaded models between clips. When it takes too long it is killed with everything it started; when it dies, the
next clip gets a new one. A death is an answer (`Died`), never an exception.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from fleetsight.apps.cooler.decide import CHARGE_MIN
from fleetsight.apps.cooler.session.machine.limits import DEFAULT_LIMITS
from fleetsight.apps.cooler.session.machine.session import Basket
from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.store.canonical import JsonObject

LOG = logging.getLogger(__name__)
CHILD = (sys.executable, "-m", "fleetsight.apps.cooler.session.duties.analysis_child")

ANSWER_BYTES = 16 << 20
"""A report of a thousand events has about a megabyte."""
SHORTFALL = 0.02
"""A clip may be shorter than its segments say by this share: pictures at the ends, rounding of a container's clock."""


@dataclass(frozen=True)
class AssortmentFiles:
    """What a device sells, on this machine's disk.

    Attributes:
        catalog: the catalog folder.
        planogram: what stands where; None when nobody drew it.
    """

    catalog: Path
    planogram: Path | None


class Assortments(Protocol):
    """Where assortments come from."""

    def folder(self, tenant_id: str, assortment: str) -> AssortmentFiles:
        """Bring one to this machine.

        Args:
            tenant_id: whose.
            assortment: version, as the session froze it.
        Returns:
            its files, which nobody changes.
        """
        ...


@dataclass(frozen=True)
class Task:
    """A clip to look at.

    Attributes:
        clip: the file.
        files: what is sold.
        out: folder for the evidence; made when missing.
        model: folder of another detector, portable or compiled; empty for the bundled one.
        trusted: public keys whose compiled models are opened.
    """

    clip: Path
    files: AssortmentFiles
    out: Path
    model: str = ""
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was seen.

    Attributes:
        report: as `show.report.as_json` writes it.
        evidence: file names in the task's folder by what they show: `clip`, `event_0`, …
        end_s: presentation time of the last picture.
        elapsed_s: of the whole task.
        peak_ram_bytes: the most that the child ever had in memory.
    """

    report: JsonObject
    evidence: Mapping[str, str]
    end_s: float
    elapsed_s: float
    peak_ram_bytes: int


@dataclass(frozen=True)
class Unusable:
    """The clip itself is at fault; another try would end the same way.

    Attributes:
        code: of the media error; `media_limit` for a clip that asks for too much.
        reason: in words.
    """

    code: str
    reason: str


@dataclass(frozen=True)
class Died:
    """Nothing came; another try may help."""

    reason: str


class Analyst:
    """Looks at one clip at a time; safe to call from several threads, which then wait for each other.

    Args:
        wall_s: for one clip, loading the models included.
        threads: of a model; None takes every core.
        command: of the child; another one in tests, the real one when None.
    """

    def __init__(
        self,
        *,
        wall_s: float = DEFAULT_LIMITS.analysis_s,
        threads: int | None = None,
        command: tuple[str, ...] | None = None,
    ) -> None:
        self._wall_s = wall_s
        self._threads = threads
        self._command = command or (*CHILD, str(threads or 0))
        self._child: subprocess.Popen[bytes] | None = None
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self) -> None:
        """Start the child, which loads its models before anybody waits for them; does not wait for it."""
        with self._alone:
            self._running()

    def analyse(self, task: Task) -> Found | Unusable | Died:
        """Look at a clip.

        Args:
            task: which, and with what.
        Returns:
            what was seen, or why nothing was.
        """
        with self._alone:
            child = self._running()
            try:
                answer = self._ask(child, task)
            except (OSError, ValueError, EOFError, TimeoutError) as error:
                self._end(child)
                code = child.returncode
                how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
                LOG.warning("analysis child ended how=%s reason=%s clip=%s", how, error, task.clip.name)
                return Died(f"{error} ({how})")
        match answer["kind"]:
            case "found":
                return Found(
                    report=answer["report"],
                    evidence=answer["evidence"],
                    end_s=float(answer["end_s"]),
                    elapsed_s=float(answer["elapsed_s"]),
                    peak_ram_bytes=int(answer["peak_ram_bytes"]),
                )
            case "unusable":
                return Unusable(str(answer["code"]), str(answer["reason"]))
            case _:
                return Died(str(answer["reason"]))

    def close(self) -> None:
        """End the child; the next clip would start another. Safe to call twice."""
        with self._alone:
            if self._child is not None:
                self._end(self._child)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # one signal ends it with its decoders
            )
        return self._child

    def _ask(self, child: "subprocess.Popen[bytes]", task: Task) -> JsonObject:
        assert child.stdin is not None
        assert child.stdout is not None
        planogram = str(task.files.planogram) if task.files.planogram else None
        question = {
            "clip": str(task.clip),
            "catalog": str(task.files.catalog),
            "planogram": planogram,
            "out": str(task.out),
            "model": task.model,
            "trusted": task.trusted,
            "threads": self._threads,
        }
        child.stdin.write(json.dumps(question).encode() + b"\n")
        child.stdin.flush()
        line = self._line(child.stdout.fileno(), time.monotonic() + self._wall_s)
        answer = json.loads(line)
        if not isinstance(answer, dict) or answer.get("kind") not in ("found", "unusable", "failed"):
            raise ValueError("the analysis sent nonsense")
        return answer

    def _line(self, descriptor: int, until_s: float) -> bytes:
        """One line of the child, or an error when it ends, talks too much or takes too long."""
        data = bytearray()
        while not data.endswith(b"\n"):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                raise TimeoutError(f"the analysis took more than {self._wall_s:g} s")
            part = os.read(descriptor, 1 << 16)
            if not part:
                raise EOFError("the analysis died")
            data += part
            if len(data) > ANSWER_BYTES:
                raise ValueError(f"the analysis sent more than {ANSWER_BYTES} bytes")
        return bytes(data)

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what it never read is of no use
        self._child = None


def basket_of(report: JsonObject) -> Basket:
    """The basket of a report in the machine's form.

    Args:
        report: of an analysis.
    Returns:
        pairs sorted by SKU.
    Raises:
        ValueError: no basket, or units that are no whole number; rounding them would change what somebody pays.
    """
    basket = report["basket"]
    if not isinstance(basket, dict) or any(type(count) is not int for count in basket.values()):
        raise ValueError(f"{str(basket)[:200]} is no basket")
    return tuple(sorted(basket.items()))


def sure_basket_of(report: JsonObject) -> Basket:
    """The lines of which every event is sure by itself: what may be charged when no person came in time.

    Args:
        report: of an analysis.
    Returns:
        pairs sorted by SKU.
    """
    doubtful = {event["sku"] for event in report["events"] if not event["confidence"] >= CHARGE_MIN}
    return tuple((sku, count) for sku, count in basket_of(report) if sku not in doubtful)


def verdict_of(report: JsonObject) -> Verdict:
    """What a report proposes.

    Args:
        report: of an analysis.
    Returns:
        charge, review or release.
    """
    return Verdict(str(report["decision"]))


def usable_share(report: JsonObject, *, end_s: float, recorded_s: float) -> float:
    """How much of what the device recorded could be looked at.

    Args:
        report: of an analysis.
        end_s: presentation time of the last picture.
        recorded_s: what the device says its segments last; 0 when it says nothing.
    Returns:
        0 to 1; 1 when no more is missing than a container's clock explains.
    """
    decoded = float(report["decoded_fraction"])
    lasted = end_s / recorded_s if recorded_s > 0 else 1.0
    share = max(0.0, min(decoded, lasted, 1.0))
    return 1.0 if share >= 1.0 - SHORTFALL else share
