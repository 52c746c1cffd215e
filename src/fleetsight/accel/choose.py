"""Choose a target for a model; when none will do, say why for each."""

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import PRECISIONS, Precision, Session, TargetError
from fleetsight.store.fields import nearest

log = logging.getLogger(__name__)

AUTO = ("openvino", "onnxruntime")
"""Targets that "auto" tries, fastest first (our measurement: bench/results)."""

TARGETS = (*AUTO, "torch", "neuron", "null")
"""Every target; each is the module of that name in `fleetsight.accel.targets`."""


@dataclass(frozen=True)
class TargetReport:
    """Whether a target can work here.

    Attributes:
        target: its name.
        reason: why it cannot; None when it can.
    """

    target: str
    reason: str | None


def probe_targets() -> tuple[TargetReport, ...]:
    """Ask every target whether it can work here.

    Returns:
        one report for each target, in the order of `TARGETS`.
    """
    return tuple(TargetReport(target=name, reason=target_module(name).probe()) for name in TARGETS)


def open_session(
    model: PortableModel, target: str = "auto", *, precision: Precision = "auto", threads: int | None = None
) -> Session:
    """Open a model on a target.

    Args:
        model: the checked model.
        target: "auto", or one of `TARGETS`; "auto" never takes "null".
        precision: arithmetic inside the graph.
        threads: most threads to use, >= 1; None: all.

    Returns:
        an open session; close it when done (`contextlib.closing`).

    Raises:
        TargetError: there is no such target, or none could open the model: the message gives every reason.
    """
    if target != "auto":
        _check_target(target)
    if precision not in PRECISIONS:
        raise TargetError(f"there is no precision {precision!r}", hint=f"precisions: {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise TargetError(f"threads must be >= 1, got {threads}", hint="leave it out to use every core")
    reasons: list[str] = []
    for name in AUTO if target == "auto" else (target,):
        reason = target_module(name).probe()
        if reason is None:
            try:
                session: Session = target_module(name).open_model(model, precision=precision, threads=threads)
            except TargetError as error:
                reason = error.message
            else:
                if reasons:
                    log.warning("target fallback chosen=%s reasons=%s", name, "; ".join(reasons))
                return session
        reasons.append(f"{name}: {reason}")
    raise TargetError(
        f"no target can run model {model.name!r}: {'; '.join(reasons)}",
        hint="fleetsight model verify FOLDER checks a model",
    )


def target_module(name: str) -> Any:
    """The module of a target.

    Args:
        name: one of `TARGETS`.

    Returns:
        the module: `probe`, `precisions`, `compiler`, `compile`, `load`, `open_model`; `probe_compiler` and `chip` where
        compiling needs no chip.

    Raises:
        TargetError: there is no such target.
    """
    _check_target(name)
    return import_module(f"fleetsight.accel.targets.{name}")


def why_not_compile(name: str) -> str | None:
    """Whether a target can compile here; where its compiler needs no chip, that is more than whether it can work.

    Args:
        name: one of `TARGETS`.

    Returns:
        None when it can, else the reason why not.

    Raises:
        TargetError: there is no such target.
    """
    module = target_module(name)
    reason: str | None = getattr(module, "probe_compiler", module.probe)()
    return reason


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise TargetError(f"there is no target {target!r}", hint=nearest(target, ("auto", *TARGETS)))
