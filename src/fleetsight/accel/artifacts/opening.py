"""Open a detector by name or folder, whichever kind of folder it is: a portable model, or an artifact of `fleetsight compile`."""

import os
from collections.abc import Collection
from pathlib import Path

from fleetsight.accel.artifacts.artifact import Artifact, is_artifact
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.detector import Detector
from fleetsight.accel.modelstore import find_model


def open_detector(
    name_or_folder: str | os.PathLike[str],
    *,
    models_dir: Path | None,
    trusted: Collection[str],
    target: str = "auto",
    threads: int | None = None,
) -> Detector:
    """Open a detector.

    Args:
        name_or_folder: name of a model that ships or was imported, folder of a model, or folder of an artifact.
        models_dir: the store of imported models; None: there is none.
        trusted: public keys whose artifacts are opened, standard base64.
        target: "auto" or the name of a target; an artifact has its own.
        threads: most threads to use; None: all.

    Returns:
        a detector that owns its sessions: close it, or use it in a `with` block.

    Raises:
        ModelError: there is no such model, or it is damaged or no detector.
        ArtifactError: the artifact is damaged, signed by nobody trusted, or for another target.
        TargetError: no target can open it.
    """
    if not is_artifact(Path(name_or_folder)):
        model = find_model(name_or_folder, models_dir or Path("/nonexistent"))
        return Detector.open(model, target, threads=threads)
    artifact = Artifact.open(Path(name_or_folder), trusted=trusted)
    if target not in {"auto", artifact.manifest.target}:
        raise ArtifactError(
            f"artifact {artifact.name!r} was compiled for {artifact.manifest.target}, not for {target}",
            hint=f"leave the target out, or: fleetsight compile MODEL --target {target}",
        )
    return Detector.of_artifact(artifact, threads=threads)
