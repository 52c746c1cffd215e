"""`session.json`, beside every compiled model: what its session takes and answers.

A compiled file often forgets the names and open sizes of its inputs; this keeps them as the graph had them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fleetsight.accel.graph import ELEMENTS, TensorSpec
from fleetsight.accel.session import TargetError

FILE = "session.json"

FORMAT = 1


@dataclass(frozen=True)
class SessionFile:
    """What a compiled model is.

    Attributes:
        target: name of the target that compiled it.
        precision: arithmetic inside.
        inputs: what it takes.
        outputs: what it answers.
        settings: what the target needs to know to load it.
    """

    target: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it.

        Args:
            folder: folder of the compiled model.
        """
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=2)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, target: str) -> "SessionFile":
        """Read it back.

        Args:
            folder: folder of the compiled model.
            target: the target that is asked to load it.

        Returns:
            what was saved.

        Raises:
            TargetError: it is missing, damaged, or of another target.
        """
        try:
            raw = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if raw.pop("format") != FORMAT:
                raise ValueError("another format")
            ports = {side: tuple(_spec(entry) for entry in raw.pop(side)) for side in ("inputs", "outputs")}
            settings = {str(name): str(value) for name, value in raw.pop("settings").items()}
            found = cls(target=str(raw["target"]), precision=str(raw["precision"]), settings=settings, **ports)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TargetError(f"{folder / FILE} cannot be read: {error}", hint="compile the model again") from error
        if found.target != target:
            raise TargetError(
                f"{folder} was compiled for {found.target}, not {target}", hint="compile it for this target"
            )
        return found


def _spec(entry: dict[str, object]) -> TensorSpec:
    name, element, shape = entry["name"], entry["element"], entry["shape"]
    if element not in ELEMENTS or not isinstance(shape, list):
        raise ValueError(f"{name!r} is {element!r} {shape!r}")
    return TensorSpec(name=str(name), element=element, shape=tuple(shape))  # type: ignore[arg-type]  # checked above
