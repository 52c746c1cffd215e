"""A tar becomes an assortment when everything in it is plain and fits together; anything else is refused whole."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetsight.catalog.sku import CatalogError
from fleetsight.errors import Error
from fleetsight.fleet import assortment
from fleetsight.fleet.assortment import (
    AssortmentError,
    current_assortment,
    extract,
    pack_assortment,
    publish_assortment,
    unpack_assortment,
)
from fleetsight.store.blobs import Blobs
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine

CATALOG = json.dumps({"currency": "EUR", "skus": [{"sku": "cola", "pictures": ["a.png"]}, {"sku": "tea"}]}).encode()
PLANOGRAM = json.dumps(
    {
        "camera": {"width_px": 640, "height_px": 360},
        "facings": [{"id": "1", "sku": "cola", "box_xyxy_px": [0, 0, 10, 10]}],
    }
).encode()
GOOD = {"catalog/catalog.json": CATALOG, "catalog/a.png": b"picture", "planogram.json": PLANOGRAM}


def write_tar(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in more:
            archive.addfile(member)
    return path


def special(kind: bytes, name: str = "catalog/x.png", target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


def test_an_assortment_is_numbered_and_comes_back(rows: Rows, machine: Machine, blobs: Blobs, tmp_path: Path) -> None:
    first = publish_assortment(rows, blobs, device=machine.device, tar=write_tar(tmp_path / "1.tar", GOOD), now_ns=1)
    again = publish_assortment(rows, blobs, device=machine.device, tar=write_tar(tmp_path / "1.tar", GOOD), now_ns=2)
    other = GOOD | {"catalog/b.png": b"other"}
    second = publish_assortment(rows, blobs, device=machine.device, tar=write_tar(tmp_path / "2.tar", other), now_ns=3)
    back = publish_assortment(rows, blobs, device=machine.device, tar=write_tar(tmp_path / "1.tar", GOOD), now_ns=4)
    assert (first.version, again.version, second.version, back.version) == (1, 1, 2, 3)
    assert first.sku_count == 2
    with rows.reading() as connection:
        here = machine.device
        assert current_assortment(connection, here.tenant_id, device_id=here.device_id) == back
        assert current_assortment(connection, "another tenant", device_id=here.device_id) is None
    folder = unpack_assortment(blobs, second.digest, into=tmp_path / "cache")
    assert unpack_assortment(blobs, second.digest, into=tmp_path / "cache") == folder
    assert (folder / "catalog" / "b.png").read_bytes() == b"other"
    assert (folder / "planogram.json").read_bytes() == PLANOGRAM
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_what_is_packed_can_be_published_and_is_the_same_each_time(
    rows: Rows, machine: Machine, blobs: Blobs, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    (folder / "pictures").mkdir(parents=True)
    (folder / "catalog.json").write_bytes(CATALOG)
    (folder / "pictures" / "a.png").write_bytes(b"picture")
    (folder / "notes.txt").write_text("left out")
    (tmp_path / "planogram.json").write_bytes(PLANOGRAM)
    for name in ("1.tar", "2.tar"):
        pack_assortment(folder, tmp_path / "planogram.json", tar=tmp_path / name)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    found = publish_assortment(rows, blobs, device=machine.device, tar=tmp_path / "1.tar", now_ns=1)
    assert found.version == 1


@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "catalog/../../x.png",
        "/etc/x.png",
        "catalog/.hidden.png",
        "a\nb.png",
        "x" * 201 + ".png",
        "a/b/c/d/e/f/g.png",
        "catalog//..//x.png",
        "~/.ssh/x.png",
        "catalog/\u202egnp.png",
        "a\\b.png",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(AssortmentError):
        extract(write_tar(tmp_path / "x.tar", {name: b"data"}), folder)
    assert not list(folder.rglob("*.png"))
    assert not list(tmp_path.rglob("x.png"))


@pytest.mark.parametrize(
    "member",
    [
        special(tarfile.SYMTYPE, target="/etc/passwd"),
        special(tarfile.LNKTYPE, target="planogram.json"),
        special(tarfile.FIFOTYPE),
        special(tarfile.CHRTYPE),
        special(tarfile.SYMTYPE, name="catalog", target="/tmp"),
        special(tarfile.GNUTYPE_SPARSE),
    ],
)
def test_links_and_special_files_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(AssortmentError):
        extract(write_tar(tmp_path / "x.tar", {}, member), folder)


def test_a_file_twice_another_kind_of_file_and_a_file_as_a_folder_are_refused(tmp_path: Path) -> None:
    twice = tmp_path / "twice.tar"
    with tarfile.open(twice, "w") as archive:
        for data in (b"1", b"2"):
            member = tarfile.TarInfo("planogram.json")
            member.size = 1
            archive.addfile(member, io.BytesIO(data))
    through = write_tar(tmp_path / "through.tar", {"a.png": b"1", "a.png/b.png": b"2"})
    script = write_tar(tmp_path / "script.tar", {"catalog/run.py": b"print()"})
    for place, tar in enumerate((twice, through, script)):
        folder = tmp_path / str(place)
        folder.mkdir()
        with pytest.raises(AssortmentError):
            extract(tar, folder)


def test_limits_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "into"
    folder.mkdir()
    tar = write_tar(tmp_path / "x.tar", GOOD)
    for name, limit, message in (
        ("FILE_BYTES_MAX", 3, "bytes, at most 3"),
        ("FILES_MAX", 1, "more than 1 members"),
        ("TAR_BYTES_MAX", 100, "at most 100"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(assortment, name, limit)
            with pytest.raises(AssortmentError, match=message):
                extract(tar, folder)


def cut(data: bytes) -> bytes:
    return data[:1700]


def negative_size(data: bytes) -> bytes:
    """A header whose size is minus one block, with the right checksum (CVE-2025-8194)."""
    header = bytearray(data[:512])
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + data[512:]


@pytest.mark.parametrize(
    "damage", [cut, negative_size, lambda _: b"", lambda _: b"no tar" * 500, lambda data: data[:600]]
)
def test_a_damaged_tar_is_refused_in_bounded_time(
    rows: Rows, machine: Machine, blobs: Blobs, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    tar = write_tar(tmp_path / "x.tar", GOOD)
    tar.write_bytes(damage(tar.read_bytes()))
    with pytest.raises(Error):
        publish_assortment(rows, blobs, device=machine.device, tar=tar, now_ns=1)
    with rows.reading() as connection:
        here = machine.device
        assert current_assortment(connection, here.tenant_id, device_id=here.device_id) is None


@pytest.mark.parametrize("compress", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused(tmp_path: Path, compress: str) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, f"w:{compress}") as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("planogram.json"))
    (tmp_path / "into").mkdir()
    with pytest.raises(AssortmentError):
        extract(path, tmp_path / "into")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"planogram.json": b"{}"}, "planogram"),
        ({"catalog/catalog.json": b'{"skus": []}'}, "lists no SKU"),
        ({"catalog/catalog.json": b'{"skus": [{"sku": "tea"}]}'}, "cola"),
        ({"catalog/catalog.json": b'{"skus": [{"sku": "cola", "pictures": ["../../x.png"]}]}'}, "outside"),
        ({"catalog/catalog.json": b"[]"}, "object"),
    ],
)
def test_catalog_and_planogram_must_be_readable_and_agree(
    rows: Rows, machine: Machine, blobs: Blobs, tmp_path: Path, changed: dict[str, bytes], message: str
) -> None:
    tar = write_tar(tmp_path / "x.tar", GOOD | changed)
    with pytest.raises((AssortmentError, CatalogError), match=message):
        publish_assortment(rows, blobs, device=machine.device, tar=tar, now_ns=1)
