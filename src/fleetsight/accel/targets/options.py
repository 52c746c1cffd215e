"""What a compile is asked for, the same for every target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fleetsight.accel.session import Arrays, Session, TargetError
from fleetsight.store.fields import nearest


@dataclass(frozen=True)
class Options:
    """How to compile.

    Attributes:
        precision: arithmetic inside the graph, one of the target's `precisions()`.
        batch: size of axis 0 where the graph leaves it open; None keeps it open.
        flags: the target's own switches.
        calibration: real inputs for int8, each in the graph's order.
        accuracy: measures a session on the user's data, higher is better; int8 then gives up operators that cost too much.
        max_drop: largest loss of `accuracy` against float32, absolute.
        model_kind: which rules of quantisation suit the network.
    """

    precision: str = "f32"
    batch: int | None = 1
    flags: Mapping[str, str] = field(default_factory=dict)
    calibration: tuple[Arrays, ...] = field(default=(), repr=False)
    accuracy: Callable[[Session], float] | None = field(default=None, repr=False)
    max_drop: float = 0.01
    model_kind: Literal["cnn", "transformer"] = "cnn"


def read_flags(target: str, flags: Mapping[str, str], *, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Check a target's own switches and fill in what is left out.

    Args:
        target: its name, for the message.
        flags: what the user gave.
        known: the values of each switch, the default first.

    Returns:
        a value for each known switch.

    Raises:
        TargetError: an unknown switch or value; the hint names the nearest one.
    """
    for name, value in flags.items():
        if name not in known:
            raise TargetError(f"{target} has no flag {name!r}", hint=nearest(name, tuple(known)))
        if value not in known[name]:
            raise TargetError(f"{target} flag {name} is {value!r}", hint=nearest(value, known[name]))
    return {name: flags.get(name, values[0]) for name, values in known.items()}


def check_precision(target: str, precision: str, *, offered: tuple[str, ...]) -> None:
    """Refuse a precision that the target lacks here.

    Args:
        target: its name, for the message.
        precision: what is asked for.
        offered: what there is.

    Raises:
        TargetError: it is not offered.
    """
    if precision not in offered:
        raise TargetError(
            f"{target} has no precision {precision!r} here", hint=f"take one of {', '.join(offered) or 'none'}"
        )
