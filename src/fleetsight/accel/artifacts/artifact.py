"""A compiled model in its folder: `manifest.json`, `manifest.sig`, and the target's files below `compiled/`.

Nothing is given to a target before the signature was checked and each file's digest is the manifest's: what is loaded
is what was compiled and proved. An artifact appears whole or not at all (`seal` writes into a folder that has no name
yet; whoever calls it renames).
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.manifest import (
    ArtifactError,
    Manifest,
    check_signature,
    parse_manifest,
    sign_manifest,
)
from fleetsight.accel.card import Card
from fleetsight.accel.portable import ModelError, read_plain
from fleetsight.accel.session import Session

log = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"
COMPILED_FOLDER = "compiled"

MANIFEST_BYTES_MAX = 4 * 1024**2
"""Largest manifest; one with ten thousand labels and thirty candidates is a tenth of it."""

FILES_MAX = 4096
"""Most files below `compiled/`; ahead-of-time packages of torch hold some hundred."""

_READERS = 4
"""Files read side by side; more wait for the disk or the processor."""


@dataclass(frozen=True)
class Artifact:
    """A compiled model whose signature and files were checked.

    Attributes:
        folder: where it lies.
        manifest: what it says about itself.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str, *, trusted: Collection[str]) -> "Artifact":
        """Check an artifact; nothing of it is loaded. One that is unproved is opened with a warning.

        Args:
            folder: the artifact's folder.
            trusted: public keys whose signatures count, standard base64.

        Returns:
            the artifact.

        Raises:
            ArtifactError: a file is missing, changed or not listed, or nobody trusted signed it.
        """
        root = Path(folder)
        if not is_artifact(root):
            raise ArtifactError(
                f"{root} is no artifact: it has no {MANIFEST_FILE}", hint="make one with: fleetsight compile MODEL"
            )
        manifest = read_manifest(root, trusted=trusted)
        found = digests(root / COMPILED_FOLDER)
        odd = sorted(
            path for path in found.keys() | manifest.files.keys() if found.get(path) != manifest.files.get(path)
        )
        if odd:
            state = (
                "is missing" if odd[0] not in found else "was changed" if odd[0] in manifest.files else "is not listed"
            )
            raise ArtifactError(
                f"{root / COMPILED_FOLDER / odd[0]} {state}: the artifact is not what was signed",
                hint="fetch the artifact again, or compile the model again",
            )
        if manifest.unproved:
            log.warning("artifact unproved folder=%s reason=%s", root, manifest.unproved)
        return cls(folder=root, manifest=manifest)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.manifest.name

    @property
    def card(self) -> Card:
        """How to feed it and to read its answer.

        Raises:
            ArtifactError: it carries no card.
        """
        return self.manifest.read_card()

    def check_batch_of_one(self) -> None:
        """Refuse an artifact that takes larger batches only.

        Raises:
            ArtifactError: its batch is fixed at more than one.
        """
        if self.manifest.batch not in {None, 1}:
            raise ArtifactError(
                f"artifact {self.name!r} takes batches of {self.manifest.batch}, one image at a time is needed",
                hint="compile it with --batch 1 or --batch dynamic",
            )

    def session(self, *, streams: int | None = None, threads: int | None = None) -> Session:
        """Load it on its target.

        Args:
            streams: requests at a time in `map`; None: what the target thinks best.
            threads: most threads to use; None: all.

        Returns:
            an open session; close it when done.

        Raises:
            TargetError: the target cannot work here, or cannot load the files.
        """
        module: Any = import_module(f"fleetsight.accel.targets.{self.manifest.target}")
        session: Session = module.load(self.folder / COMPILED_FOLDER, streams=streams, threads=threads)
        return session

    def copy_to(self, folder: Path) -> "Artifact":
        """Copy it; the copy appears whole or not at all.

        Args:
            folder: must not hold anything but an older artifact, which it replaces.

        Returns:
            the copy.

        Raises:
            ArtifactError: the folder holds something else.
        """
        if folder.exists() and not is_artifact(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise ArtifactError(f"{folder} exists and is no artifact", hint="remove it or choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _draft_of(folder) as draft:
            shutil.copytree(self.folder, draft, dirs_exist_ok=True)
            sync_tree(draft)
        return Artifact(folder=folder, manifest=self.manifest)

    def reseal(self, manifest: Manifest, *, key: Ed25519PrivateKey) -> "Artifact":
        """Replace what it says about itself; its files stay as they are.

        Args:
            manifest: the new one.
            key: signs it.

        Returns:
            the artifact in the same folder.
        """
        with _draft_of(self.folder) as draft:
            shutil.copytree(self.folder / COMPILED_FOLDER, draft / COMPILED_FOLDER)
            full = seal(draft, manifest, key=key)
        return Artifact(folder=self.folder, manifest=full)


@contextmanager
def _draft_of(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends well."""
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        draft.chmod(0o755)
        put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def put_in_place(draft: Path, folder: Path) -> None:
    """Give a finished folder its name; who looks meanwhile sees the old one whole, none, or the new one whole.

    Args:
        draft: everything is on the disk.
        folder: its name, in the same folder as the draft; what has it now is thrown away.
    """
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact that lies in a folder of artifacts; its files were not looked at.

    Attributes:
        folder: where it lies.
        manifest: what it says about itself; None when that cannot be trusted.
        problem: why it cannot; empty when it can.
    """

    folder: Path
    manifest: Manifest | None
    problem: str = ""


def list_artifacts(folder: Path, *, trusted: Collection[str]) -> tuple[StoredArtifact, ...]:
    """The artifacts in a folder; signatures are checked, digests of files are not: gigabytes would be read.

    Args:
        folder: holds a folder for each; may be missing.
        trusted: public keys whose signatures count, standard base64.

    Returns:
        the newest first, those that cannot be trusted last.
    """
    found = []
    for inner in sorted(folder.iterdir()) if folder.is_dir() else ():
        if inner.name.startswith(".") or not is_artifact(inner):
            continue
        try:
            found.append(StoredArtifact(inner, read_manifest(inner, trusted=trusted)))
        except ArtifactError as error:
            found.append(StoredArtifact(inner, None, error.message))
    return tuple(sorted(found, key=lambda one: one.manifest.made_at if one.manifest else "", reverse=True))


def read_manifest(folder: Path, *, trusted: Collection[str]) -> Manifest:
    """What an artifact says about itself, once its signature was checked.

    Args:
        folder: the artifact's.
        trusted: public keys whose signatures count, standard base64.

    Returns:
        the manifest; whether the files are those it names is `Artifact.open`'s to check.

    Raises:
        ArtifactError: it is not readable, or nobody trusted signed it.
    """
    try:
        text = read_plain(folder / MANIFEST_FILE, MANIFEST_BYTES_MAX)
        signature = read_plain(folder / SIGNATURE_FILE, MANIFEST_BYTES_MAX)
    except ModelError as error:
        raise ArtifactError(error.message, hint="compile the model again") from error
    check_signature(text, signature, trusted=trusted)
    return parse_manifest(text)


def is_artifact(folder: Path | str) -> bool:
    """Whether a folder looks like an artifact; says nothing about its worth."""
    return (Path(folder) / MANIFEST_FILE).is_file()


def seal(folder: Path, manifest: Manifest, *, key: Ed25519PrivateKey) -> Manifest:
    """Write manifest and signature beside `compiled/`, and put all of it onto the disk.

    Args:
        folder: holds `compiled/` with the target's files.
        manifest: what it is; the digests of the files are filled in.
        key: the signer's.

    Returns:
        the manifest as written.

    Raises:
        ArtifactError: there are no files, or too many.
    """
    full = replace(manifest, files=digests(folder / COMPILED_FOLDER))
    if not full.files:
        raise ArtifactError(f"target {manifest.target!r} wrote no files", hint="this is an error in the target")
    text = json.dumps(full.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    (folder / SIGNATURE_FILE).write_text(sign_manifest(full, key), encoding="utf-8")
    sync_tree(folder)
    return full


def digests(folder: Path) -> dict[str, str]:
    """Digest every file below a folder.

    Args:
        folder: may be missing.

    Returns:
        SHA-256 in lower-case hex by path with forward slashes.

    Raises:
        ArtifactError: something is no plain file, or there are too many.
    """
    files: list[Path] = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(f"{path} is no plain file", hint="an artifact holds files only; compile it again")
        if path.is_file():
            files.append(path)
        if len(files) > FILES_MAX:
            raise ArtifactError(f"{folder} holds more than {FILES_MAX} files")
    # hashlib lets other threads run: the parts of a large model are read side by side.
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(_sha256, files)
        return {path.relative_to(folder).as_posix(): digest for path, digest in zip(files, found, strict=True)}


def sync_tree(folder: Path) -> None:
    """Force a folder and everything below it onto the disk.

    Args:
        folder: plain files and folders only.
    """
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
