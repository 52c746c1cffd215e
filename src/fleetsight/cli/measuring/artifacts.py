"""Where this installation keeps its compiled models, and whose signatures it trusts."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetsight.accel.artifacts.artifact import Artifact, StoredArtifact
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

    return Artifact.open(folder, trusted=trusted_keys(settings))


def trusted_keys(settings: "Settings") -> frozenset[str]:
    """Whose artifacts are opened here: this installation's own, once it has a key, and those that the settings name.

    Args:
        settings: as loaded.

    Returns:
        public keys, standard base64.

    Raises:
        KeyFileError: the key file cannot be trusted.
    """
    from fleetsight.accel.artifacts.manifest import public_key_b64
    from fleetsight.store.key_file import open_key

    named = {key.strip() for key in settings.artifact_keys.split(",") if key.strip()}
    own = settings.data_dir / KEY_FILE
    return frozenset(named | ({public_key_b64(open_key(own))} if own.exists() else set()))


def artifacts_here(settings: "Settings") -> "tuple[StoredArtifact, ...]":
    """What this installation has compiled and still keeps.

    Args:
        settings: as loaded.

    Returns:
        one row for each, the newest first.

    Raises:
        KeyFileError: the key file cannot be trusted.
    """
    from fleetsight.accel.artifacts.artifact import list_artifacts

    return list_artifacts(settings.data_dir / CACHE_FOLDER, trusted=trusted_keys(settings))
