"""A new variant on trial: some requests go to it, its answers are compared with those of the old one, and it goes when they differ.

`SHADOW`: callers get the old answers, the candidate sees copies. `CANARY`: callers whose request falls to the candidate get its answers,
the old variant sees copies. Copies have the lowest class, so a trial never costs a real request its deadline.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from fleetsight.errors import Error
from fleetsight.serve.queueing.split import WHOLE, Split

WINDOW = 200
"""Comparisons that are looked at; the last ones, so that a candidate that drifts is caught too."""
FAILURES_MIN = 3
FAILURE_RATIO_MAX = 0.02
"""Share of failed answers a candidate may have; one in fifty is more than any caller should see."""


class TrialError(Error):
    """A trial that cannot be held."""

    code = "serve_trial"


class Mode(Enum):
    """Whose answers callers get."""

    SHADOW = "shadow"
    CANARY = "canary"


class Verdict(Enum):
    """What is known about the candidate."""

    RUNNING = "running"
    PASSED = "passed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Gate:
    """What a candidate has to reach.

    Attributes:
        percent: share of requests that take part, 1-100.
        agreement_min: mean agreement of its answers with the old ones, 0-1.
        pairs_min: comparisons before anything is said in its favour or against it.
    """

    percent: int = 10
    agreement_min: float = 0.98
    pairs_min: int = 50


class Trial:
    """Judges a candidate.

    Args:
        incumbent: variant that answers today.
        candidate: variant on trial.
        mode: whose answers callers get.
        gate: what the candidate has to reach.

    Raises:
        TrialError: the gate cannot be reached or failed by anything.
    """

    def __init__(self, incumbent: str, candidate: str, *, mode: Mode, gate: Gate) -> None:
        if not (1 <= gate.percent <= WHOLE and 0 < gate.agreement_min <= 1 and 1 <= gate.pairs_min <= WINDOW):
            raise TrialError(
                f"percent {gate.percent}, agreement {gate.agreement_min:g}, pairs {gate.pairs_min}: out of range",
                hint=f"percent 1 to 100, agreement above 0 to 1, pairs 1 to {WINDOW}",
            )
        if incumbent == candidate:
            raise TrialError(f"{candidate!r} answers already", hint="name another variant")
        self.incumbent = incumbent
        self.candidate = candidate
        self.mode = mode
        self.gate = gate
        self.verdict = Verdict.RUNNING
        self.why = ""
        self._split = Split({candidate: gate.percent, incumbent: WHOLE - gate.percent})
        self._agreements: deque[float] = deque(maxlen=WINDOW)
        self._failed: deque[bool] = deque(maxlen=WINDOW)

    @property
    def is_running(self) -> bool:
        """Whether requests still take part."""
        return self.verdict is not Verdict.ROLLED_BACK

    @property
    def pairs(self) -> int:
        """Comparisons in the window."""
        return len(self._agreements)

    @property
    def mean_agreement(self) -> float:
        """Over the window; 1 before the first comparison."""
        return sum(self._agreements) / len(self._agreements) if self._agreements else 1.0

    def takes_part(self) -> bool:
        """Whether the next request is one of the share."""
        return self.is_running and self._split.deal() == self.candidate

    def compared(self, share: float) -> Verdict:
        """Note how far the candidate agreed once.

        Args:
            share: 0-1.
        Returns:
            what is known now.
        """
        self._agreements.append(share)
        return self._judge()

    def answered(self, *, failed: bool) -> Verdict:
        """Note whether the candidate answered at all.

        Args:
            failed: it refused, died or gave nonsense.
        Returns:
            what is known now.
        """
        self._failed.append(failed)
        return self._judge()

    def _judge(self) -> Verdict:
        if self.verdict is Verdict.ROLLED_BACK:
            return self.verdict
        failures = sum(self._failed)
        if failures >= FAILURES_MIN and failures > FAILURE_RATIO_MAX * len(self._failed):
            self.verdict, self.why = Verdict.ROLLED_BACK, f"{failures} of {len(self._failed)} answers failed"
        elif self.pairs >= self.gate.pairs_min:
            mean = self.mean_agreement
            told = f"agreement {mean:.3f} over {self.pairs} frames, {self.gate.agreement_min:g} was asked"
            passed = mean >= self.gate.agreement_min
            self.verdict, self.why = Verdict.PASSED if passed else Verdict.ROLLED_BACK, told
        return self.verdict
