"""The models that ship inside the package."""

from importlib.resources import files
from pathlib import Path

from fleetsight.accel.portable import CARD_FILE, ModelError, PortableModel


def bundled_folder() -> Path:
    """Folder of the models that ship.

    Returns:
        its path inside the installed package; it may not exist.
    """
    return Path(str(files("fleetsight"))) / "models"


def bundled_names() -> tuple[str, ...]:
    """Names of the models that ship.

    Returns:
        sorted names.
    """
    folder = bundled_folder()
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{CARD_FILE}")))


def bundled_model(name: str) -> PortableModel:
    """Load a model that ships.

    Args:
        name: its name.

    Returns:
        the checked model.

    Raises:
        ModelError: no model of this name ships.
    """
    if name not in bundled_names():
        raise ModelError(
            f"no model {name!r} ships with this package", hint=f"there are: {', '.join(bundled_names()) or 'none'}"
        )
    return PortableModel.load(bundled_folder() / name)
