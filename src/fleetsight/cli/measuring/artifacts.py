"""Where this installation keeps its compiled models, and whose signatures it trusts."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.artifact import Artifact
    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.settings import Settings

KEY_FILE = "artifact_key.pem"
CACHE_FOLDER = "artifacts"


def artifact_cache(settings: "Settings", *, forbid_compiling: bool = False) -> "ArtifactCache":
    """The cache of compiled models, with this installation's key.

    Args:
        settings: as loaded.
        forbid_compiling: make a miss an error.

    Returns:
        the cache; its folder and the key are made when they are missing.

    Raises:
        KeyFileError: the key file cannot be trusted.
    """
    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.store.key_file import open_key

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    key = open_key(settings.data_dir / KEY_FILE)
    return ArtifactCache(settings.data_dir / CACHE_FOLDER, key, forbid_compiling=forbid_compiling)


def open_artifact(folder: Path | str, settings: "Settings") -> "Artifact":
    """Open an artifact signed here, or by somebody whom the settings trust.

    Args:
        folder: the artifact.
        settings: as loaded.

    Returns:
        the checked artifact.

    Raises:
        ArtifactError: it is damaged, or nobody trusted signed it.
        KeyFileError: the key file cannot be trusted.
    """
    from fleetsight.accel.artifacts.artifact import Artifact

    named = {key.strip() for key in settings.artifact_keys.split(",") if key.strip()}
    return Artifact.open(folder, trusted=artifact_cache(settings).trusted | named)
