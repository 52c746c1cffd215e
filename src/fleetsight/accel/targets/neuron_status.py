"""What Neuron's run time and compiler say when they fail, as errors with a way out.

Codes of the run time: `nrt_status.rst` of the Neuron documentation; of the compiler: its pages of error codes. Both reach us
as words in a RuntimeError.
"""

import re
from dataclasses import dataclass

from fleetsight.accel.session import OTHER_TARGETS, NumericalError, TargetError, TargetGoneError, UnsupportedError


@dataclass(frozen=True)
class Status:
    """One way in which a run fails.

    Attributes:
        code: Neuron's number.
        name: Neuron's name.
        error: what it is to us.
        hint: the way out.
    """

    code: int
    name: str
    error: type[TargetError]
    hint: str


_ELSEWHERE = "go on with a session on another target; the chip needs a reset or another machine"

STATUSES = (
    Status(2, "INVALID", TargetError, "compile the model again for this chip"),
    Status(4, "RESOURCE", TargetError, "take a smaller batch, fewer streams, or a chip with more memory"),
    Status(5, "TIMEOUT", TargetGoneError, f"{_ELSEWHERE}; NEURON_RT_EXEC_TIMEOUT sets the limit"),
    Status(6, "HW_ERROR", TargetGoneError, _ELSEWHERE),
    Status(7, "QUEUE_FULL", TargetError, "send fewer requests at a time: fewer streams"),
    Status(
        9,
        "LOAD_NOT_ENOUGH_NC",
        TargetError,
        "a core belongs to one process until it ends: set NEURON_RT_VISIBLE_CORES for each process, or take fewer streams",
    ),
    Status(
        10, "UNSUPPORTED_NEFF_VERSION", TargetError, "compile again with the compiler that belongs to this run time"
    ),
    Status(13, "UNINITIALIZED", TargetGoneError, f"{_ELSEWHERE}; is the Neuron driver loaded?"),
    Status(14, "CLOSED", TargetGoneError, _ELSEWHERE),
    Status(101, "EXEC_UNIT_UNRECOVERABLE", TargetGoneError, _ELSEWHERE),
    Status(1002, "EXEC_BAD_INPUT", TargetError, "the inputs are not those the model was compiled for"),
    Status(
        1003,
        "COMPLETED_WITH_NUM_ERR",
        NumericalError,
        "compile with auto_cast=none or auto_cast_type=bf16, and look at the inputs for NaN",
    ),
    Status(1005, "EXEC_NC_BUSY", TargetError, "another model runs on this core: take another first core"),
    Status(1006, "OOB", TargetError, "an index points outside its table: look at the whole-number inputs"),
    Status(1201, "HBM_UE", TargetGoneError, _ELSEWHERE),
)
"""Uncorrectable memory errors, lost execution units and time-outs do not heal on the same chip."""

_BY_CODE = {status.code: status for status in STATUSES}
_LOG_LINES = {
    "nrt_allocate_neuron_cores NeuronCore(s) not available": 9,
    "Unable to determine Neuron Driver version": 13,
}
"""Lines of the run time's log that come without a code."""

_NUMBER = re.compile(r"(?:status|error)(?: code)?\s*[:=]\s*(\d+)", re.IGNORECASE)
_MEMORY = re.compile(r"NCC_EOOM\d+")
_OPERATOR = re.compile(r"(NCC_EVRF\d+)")


def error_of_runtime(error: BaseException, what: str) -> TargetError:
    """What a failed load or run is to us.

    Args:
        error: what Neuron raised.
        what: what was tried, as the beginning of the message.

    Returns:
        an error to raise.
    """
    said = _first_line(error)
    status = _status(str(error))
    if status is None:
        return TargetError(f"{what}: {said}", hint="fleetsight doctor tells whether the chip works at all")
    return status.error(f"{what}: {status.name} ({status.code}): {said}", hint=status.hint)


def error_of_compiler(error: BaseException, what: str) -> TargetError:
    """What a failed compile is to us.

    Args:
        error: what the compiler raised.
        what: what was tried, as the beginning of the message.

    Returns:
        an error to raise.
    """
    said = str(error)
    if _OPERATOR.search(said):
        return UnsupportedError(f"{what}: {_line_with(said, _OPERATOR)}", hint=OTHER_TARGETS)
    if _MEMORY.search(said):
        return TargetError(
            f"{what}: {_line_with(said, _MEMORY)}",
            hint="take a smaller batch, auto_cast=all, or compile the model in parts",
        )
    return TargetError(f"{what}: {_first_line(error)}", hint=OTHER_TARGETS)


def _status(said: str) -> Status | None:
    for phrase, code in _LOG_LINES.items():
        if phrase in said:
            return _BY_CODE[code]
    for status in sorted(STATUSES, key=lambda entry: -len(entry.name)):
        # A short name alone may be any word; the run time writes NRT_ before it.
        loose = rf"|\b{status.name}\b" if "_" in status.name else ""
        if re.search(rf"\bNRT_(?:\w+_)?{status.name}\b{loose}", said):
            return status
    number = _NUMBER.search(said)
    return _BY_CODE.get(int(number[1])) if number else None


def _line_with(said: str, words: re.Pattern[str]) -> str:
    return next((line.strip()[:300] for line in said.splitlines() if words.search(line)), said[:300])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
