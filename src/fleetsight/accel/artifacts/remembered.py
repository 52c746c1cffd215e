"""SHA-256 of large files, remembered by what the file system says of them, so that a hit of the cache reads no gigabytes.

For weights that a user owns, where the digest decides what is compiled. The files of an artifact are read each time they are
opened: there the digest guards against whoever changes them.
"""

import hashlib
import json
import secrets
import time
from pathlib import Path

SETTLED_S = 2.0
"""A file changed less than this ago is not remembered: it could change again under the same time stamp (FAT has 2 s)."""

ENTRIES_MAX = 1000
"""Most files remembered; the oldest are forgotten."""


class RememberedDigests:
    """Digests of files.

    Args:
        memory: a JSON file; made when it is missing, begun anew when it is damaged.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def sha256(self, path: Path) -> str:
        """Digest a file, or remember its digest.

        Args:
            path: a file.

        Returns:
            lower-case hex; as long as device, inode, size and both time stamps (of content and of inode) are what they were,
            the file is taken to be.
        """
        state = path.stat()
        key = str(path.resolve())
        mark = [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        known = self._read()
        entry = known.get(key)
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == mark:
            return str(entry[1])
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if time.time() - max(state.st_mtime, state.st_ctime) > SETTLED_S:
            known.pop(key, None)
            self._write({**known, key: [mark, digest]})
        return digest

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: dict[str, object]) -> None:
        newest = dict(list(known.items())[-ENTRIES_MAX:])
        draft = self._memory.with_name(f"{self._memory.name}.{secrets.token_hex(4)}")
        draft.write_text(json.dumps(newest), encoding="utf-8")
        draft.replace(self._memory)
