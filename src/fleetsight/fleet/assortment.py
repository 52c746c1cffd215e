"""What a device sells and where it stands: a catalog folder and a planogram in one tar, kept as a blob and numbered per device.

A tar comes from outside, so it is read as if by an enemy: only plain files and folders with plain relative names, of known kinds, in
bounded number and size, and the catalog and planogram in it must be readable and agree before the tar becomes a version.
"""

import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import sqlalchemy as sa

from fleetsight.apps.cooler.session.analysis import AssortmentFiles
from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog
from fleetsight.errors import Error
from fleetsight.fleet.devices.registry import Device
from fleetsight.fleet.tables import ASSORTMENTS, DEVICES
from fleetsight.store.blobs import Blobs, Digest, parse_digest
from fleetsight.store.rows import Rows

TAR_BYTES_MAX = 64 << 20
"""About a thousand SKUs with two pictures of 30 kB each."""
FILES_MAX = 20_000
FILE_BYTES_MAX = 8 << 20
NAME_CHARACTERS_MAX = 200
DEPTH_MAX = 6
CATALOG = "catalog"
PLANOGRAM = "planogram.json"
_SUFFIXES = frozenset({".json", ".png", ".jpg", ".jpeg", ".webp"})
_PART = re.compile(r"[\w +@&()\[\],'-][\w +@&()\[\],'.-]*")


class AssortmentError(Error):
    """A tar that is no assortment."""

    code = "assortment"


@dataclass(frozen=True)
class Assortment:
    """What a device sells, in one version.

    Attributes:
        version: from 1, per device.
        digest: of the tar in the blobs.
        sku_count: SKUs of the catalog.
    """

    version: int
    digest: Digest
    sku_count: int


class FleetAssortments:
    """Brings assortments to this machine's disk, for those who settle sessions.

    Args:
        blobs: where the tars are kept.
        folder: where they are unpacked, once each.
    """

    def __init__(self, blobs: Blobs, folder: Path) -> None:
        self._blobs = blobs
        self._folder = folder

    def folder(self, tenant_id: str, assortment: str) -> AssortmentFiles:  # noqa: ARG002 a digest is nobody's secret
        """Bring one here.

        Args:
            tenant_id: whose.
            assortment: its digest, as a session keeps it.
        Returns:
            its files, which nobody changes.
        Raises:
            BlobError: no such digest, or its bytes are missing or damaged.
        """
        unpacked = unpack_assortment(self._blobs, parse_digest(assortment), into=self._folder)
        return AssortmentFiles(unpacked / CATALOG, unpacked / PLANOGRAM)


class _Member(tarfile.TarInfo):
    """A member whose size is never negative: Python before 3.11.14 reads such a tar for ever (CVE-2025-8194)."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a member has a negative size")
        return super()._block(count)  # type: ignore[misc, no-any-return]


def publish_assortment(rows: Rows, blobs: Blobs, *, device: Device, tar: Path, now_ns: int) -> Assortment:
    """Check a tar and make it the next version of a device; the same bytes again are the same version.

    Args:
        rows: where versions are kept.
        blobs: where the tar is kept.
        device: the device.
        tar: the file as it came.
        now_ns: now.
    Returns:
        the version that the device has now.
    Raises:
        AssortmentError: not a tar, or something in it that may not be there.
        CatalogError: the catalog or the planogram is not one.
        BlobStorageError: there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="assortment-") as folder:
        sku_count = _check(tar, Path(folder))
    digest = blobs.put_file(tar)
    here = (ASSORTMENTS.c.tenant_id == device.tenant_id, ASSORTMENTS.c.device_id == device.device_id)
    with rows.transaction() as connection:
        device_row = (DEVICES.c.tenant_id == device.tenant_id, DEVICES.c.device_id == device.device_id)
        connection.execute(sa.select(DEVICES.c.device_id).where(*device_row).with_for_update())  # one version at a time
        latest = current_assortment(connection, device.tenant_id, device_id=device.device_id)
        if latest is not None and latest.digest == digest:
            return latest
        highest = connection.execute(sa.select(sa.func.max(ASSORTMENTS.c.version)).where(*here)).scalar()
        new = Assortment((highest or 0) + 1, digest, sku_count)
        connection.execute(
            sa.insert(ASSORTMENTS).values(
                tenant_id=device.tenant_id,
                device_id=device.device_id,
                version=new.version,
                digest=digest,
                sku_count=sku_count,
                size_bytes=tar.stat().st_size,
                created_ns=now_ns,
            )
        )
    return new


def current_assortment(connection: sa.Connection, tenant_id: str, *, device_id: str) -> Assortment | None:
    """What a device sells now.

    Args:
        connection: reads.
        tenant_id: the tenant.
        device_id: the device.
    Returns:
        its latest version; None when it was never given one.
    """
    question = (
        sa.select(ASSORTMENTS)
        .where(ASSORTMENTS.c.tenant_id == tenant_id, ASSORTMENTS.c.device_id == device_id)
        .order_by(ASSORTMENTS.c.version.desc())
        .limit(1)
    )
    row = connection.execute(question).first()
    return None if row is None else Assortment(row.version, Digest(row.digest), row.sku_count)


def unpack_assortment(blobs: Blobs, digest: Digest, *, into: Path) -> Path:
    """Bring an assortment to a folder, once; several processes may ask at the same time.

    Args:
        blobs: where the tar is kept.
        digest: which one.
        into: folder of assortments; made when it is missing.
    Returns:
        a folder with `catalog` and `planogram.json`, which nobody may write to.
    Raises:
        BlobError: the tar is missing or damaged.
        AssortmentError: the tar was not checked when it was kept.
    """
    target = into / digest.removeprefix("sha256:")
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=into) as draft:
        tar, folder = Path(draft) / "tar", Path(draft) / "folder"
        blobs.fetch(digest, tar)
        folder.mkdir()
        extract(tar, folder)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # another process was first, and its folder holds the same
                raise
    return target


def pack_assortment(catalog: Path, planogram: Path, *, tar: Path) -> None:
    """Write the tar of a catalog folder and a planogram; equal content gives equal bytes.

    Args:
        catalog: a folder with `catalog.json` and pictures.
        planogram: a JSON file.
        tar: the file to write.
    """
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, planogram, name=PLANOGRAM)
        for path in sorted(catalog.rglob("*")):
            if path.is_file() and path.suffix.lower() in _SUFFIXES:
                _add(archive, path, name=f"{CATALOG}/{path.relative_to(catalog).as_posix()}")


def extract(tar: Path, folder: Path) -> None:
    """Unpack a tar into an empty folder, or refuse it.

    Args:
        tar: the file.
        folder: an empty folder.
    Raises:
        AssortmentError: not a plain tar, or a member that is no plain file or folder, has a name that leads elsewhere or
            comes twice, is of another kind than JSON and pictures, or passes a limit.
    """
    size_bytes = tar.stat().st_size
    if size_bytes > TAR_BYTES_MAX:
        raise AssortmentError(f"the tar has {size_bytes} bytes, at most {TAR_BYTES_MAX}", hint="use smaller pictures")
    try:
        with tarfile.open(tar, "r:", tarinfo=_Member) as archive:
            for place, member in enumerate(archive):
                if place >= FILES_MAX:
                    raise AssortmentError(f"more than {FILES_MAX} members", hint="leave out what is no picture")
                _extract_member(archive, member, folder)
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
        raise AssortmentError(
            f"not a tar: {error}", hint=f"make it with: tar -cf x.tar {CATALOG} {PLANOGRAM}"
        ) from error


def _check(tar: Path, folder: Path) -> int:
    """Unpack and read an assortment; its number of SKUs."""
    extract(tar, folder)
    catalog = Catalog.load(folder / CATALOG)
    planogram = Planogram.load(folder / PLANOGRAM)
    unknown = sorted({facing.sku for facing in planogram.facings} - set(catalog.skus))
    if unknown:
        raise AssortmentError(
            f"the planogram names SKUs that the catalog does not: {', '.join(unknown[:10])}",
            hint="add them to catalog.json or remove their facings",
        )
    return len(catalog.skus)


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if member.isdir() and PurePosixPath(member.name) == PurePosixPath("."):
        return  # `tar -c .` begins with it
    path = folder.joinpath(*_safe_parts(member.name))
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg() or member.issparse():
        raise AssortmentError(f"{member.name!r} is no plain file", hint="links and special files are refused")
    if path.suffix.lower() not in _SUFFIXES:
        raise AssortmentError(
            f"{member.name!r} is neither JSON nor a picture", hint=f"allowed: {', '.join(sorted(_SUFFIXES))}"
        )
    if member.size > FILE_BYTES_MAX:
        raise AssortmentError(f"{member.name!r} has {member.size} bytes, at most {FILE_BYTES_MAX}")
    source = archive.extractfile(member)
    if source is None:
        raise AssortmentError(f"{member.name!r} has no content")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            _copy(source, target, member)
    except (FileExistsError, NotADirectoryError) as error:
        raise AssortmentError(f"{member.name!r} is in the tar twice") from error


def _copy(source: IO[bytes], target: IO[bytes], member: tarfile.TarInfo) -> None:
    shutil.copyfileobj(source, target)
    if target.tell() != member.size:
        raise AssortmentError(f"the tar ends within {member.name!r}", hint="send it again")


def _safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a member's name, none of which leads anywhere but down."""
    parts = PurePosixPath(name).parts
    plain = bool(parts) and all(_PART.fullmatch(part) for part in parts)
    if not plain or len(name) > NAME_CHARACTERS_MAX or len(parts) > DEPTH_MAX:
        raise AssortmentError(
            f"{name[:NAME_CHARACTERS_MAX]!r} is not a name that a file here may have",
            hint=f"relative, at most {DEPTH_MAX} levels and {NAME_CHARACTERS_MAX} characters, no part beginning with a dot",
        )
    return parts


def _add(archive: tarfile.TarFile, path: Path, *, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    member.mode = 0o644
    with path.open("rb") as file:
        archive.addfile(member, file)
