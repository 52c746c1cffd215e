"""Artifacts by what they were made from: the same model, options, compiler and chip are compiled once.

    <folder>/<key>/                 an artifact
    <folder>/.making-<key>/         one that is being made; a leftover of a process that died is thrown away
    <folder>/.lock-<key>            held while it is made: of two processes one compiles and the other waits
    <folder>/.digests.json          digests of weights, so that a hit need not read them
    <folder>/quarantine/<key>-<n>/  one that was damaged; kept for whoever wants to know why

An entry gets its name by one rename after everything is on the disk. So a reader sees all of it or none.
"""

import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.artifact import COMPILED_FOLDER, Artifact, put_in_place, seal
from fleetsight.accel.artifacts.manifest import ArtifactError, Manifest, public_key_b64
from fleetsight.accel.artifacts.remembered import RememberedDigests
from fleetsight.errors import Error
from fleetsight.store.canonical import digest_of

log = logging.getLogger(__name__)

LOCK_WAIT_S = 3600.0
"""Longest wait for another process that makes the same artifact; the slowest known compile (a large detector for Inf1)
takes ten minutes (docs of AWS Neuron)."""

LOCK_POLL_S = 0.05

KEY = re.compile("[0-9a-f]{64}")


class ForbiddenError(Error):
    """Something would have been compiled although compiling is forbidden."""

    code = "compiling_forbidden"


@dataclass(frozen=True)
class Found:
    """What the cache answered.

    Attributes:
        artifact: the checked artifact.
        hit: it was there; nothing was compiled.
    """

    artifact: Artifact
    hit: bool


class ArtifactCache:
    """A folder of artifacts, signed by one key.

    Args:
        folder: made when it is missing.
        key: signs what is made here; only what it signed is a hit.
        forbid_compiling: make a miss an error, so that a test or a device that may not compile can prove its hits.
        lock_wait_s: longest wait for another process that makes the same artifact.

    Attributes:
        made: how many artifacts this object has made.
        digests: of the weights that artifacts are made from.
    """

    def __init__(
        self,
        folder: Path,
        key: Ed25519PrivateKey,
        *,
        forbid_compiling: bool = False,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        self.made = 0
        self.digests = RememberedDigests(folder / ".digests.json")
        self._folder = folder
        self._key = key
        self._forbid = forbid_compiling
        self._lock_wait_s = lock_wait_s
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def trusted(self) -> frozenset[str]:
        """The public key that signs here, as `Artifact.open` takes it."""
        return frozenset({public_key_b64(self._key)})

    def get(self, key: str) -> Artifact | None:
        """Look an artifact up.

        Args:
            key: from `artifact_key`.

        Returns:
            the artifact, its signature and digests checked; None when there is none, or a damaged one that was put aside.
        """
        folder = self._folder / _checked(key)
        if not folder.exists():
            return None
        try:
            return self._open(folder, key)
        except ArtifactError as error:
            log.warning("cache entry damaged key=%s reason=%s", key, error.message)
            self._put_aside(folder)
            return None

    def obtain(self, key: str, make: Callable[[Path], Manifest]) -> Found:
        """Look an artifact up, or make it; of several processes one makes it.

        Args:
            key: from `artifact_key`.
            make: writes the target's files into an empty folder and says what they are.

        Returns:
            the artifact, and whether it was there.

        Raises:
            ForbiddenError: it would have to be made.
            ArtifactError: another process keeps the lock for too long.
        """
        found = self.get(key)
        if found is not None:
            return Found(artifact=found, hit=True)
        with self._locked(key):
            found = self.get(key)
            if found is not None:
                return Found(artifact=found, hit=True)
            if self._forbid:
                raise ForbiddenError(
                    f"artifact {key[:12]} is not in {self._folder} and compiling is forbidden here",
                    hint="compile it first: fleetsight compile MODEL",
                )
            made = self._make(key, make)
            self.made += 1
            return Found(artifact=made, hit=False)

    def replace(self, artifact: Artifact, make: Callable[[Path], Manifest]) -> Artifact:
        """Put another artifact in the place of one; nothing is compiled.

        Args:
            artifact: one of this cache.
            make: writes the files into an empty folder and says what they are, under the same key.

        Returns:
            the new one.

        Raises:
            ArtifactError: another process keeps the lock for too long.
        """
        key = artifact.manifest.key
        with self._locked(key):
            return self._make(key, make)

    def reseal(self, artifact: Artifact, manifest: Manifest) -> Artifact:
        """Replace what an artifact says about itself, be it of this cache or not, and sign it with this cache's key.

        Args:
            artifact: its files stay as they are.
            manifest: the new one.

        Returns:
            the artifact in the same folder.

        Raises:
            ArtifactError: another process keeps the lock for too long.
        """
        with self._locked(artifact.manifest.key):
            return artifact.reseal(manifest, key=self._key)

    def _make(self, key: str, make: Callable[[Path], Manifest]) -> Artifact:
        draft, final = self._folder / f".making-{key}", self._folder / key
        shutil.rmtree(draft, ignore_errors=True)
        (draft / COMPILED_FOLDER).mkdir(parents=True)
        try:
            seal(draft, make(draft / COMPILED_FOLDER), key=self._key)
            put_in_place(draft, final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self._folder)
        return self._open(final, key)

    def _open(self, folder: Path, key: str) -> Artifact:
        artifact = Artifact.open(folder, trusted=self.trusted)
        if artifact.manifest.key != key:
            raise ArtifactError(f"{folder} holds the artifact {artifact.manifest.key[:12]}")
        return artifact

    def _put_aside(self, folder: Path) -> None:
        aside = self._folder / "quarantine" / f"{folder.name}-{secrets.token_hex(4)}"
        aside.parent.mkdir(exist_ok=True)
        try:
            folder.replace(aside)
        except FileNotFoundError:
            return  # another process was first

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        handle = os.open(self._folder / f".lock-{key}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            until = time.monotonic() + self._lock_wait_s
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > until:
                        raise ArtifactError(
                            f"another process has been making artifact {key[:12]} for {self._lock_wait_s:.0f} s",
                            hint="wait for it, or end it: its lock goes with it",
                        ) from error
                    time.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(handle)


def artifact_key(made_from: dict[str, Any]) -> str:
    """Digest of everything that decides what an artifact holds.

    Args:
        made_from: plain JSON: digest of the weights, target, flags, precision, batch, compiler, chip, gates, data.

    Returns:
        64 lower-case hexadecimal digits.
    """
    return digest_of(made_from)


def _checked(key: str) -> str:
    if KEY.fullmatch(key) is None:
        raise ArtifactError(f"{key!r} is no key of an artifact, expected 64 lower-case hexadecimal digits")
    return key


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
