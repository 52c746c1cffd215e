"""The first bytes choose the container; the outermost boxes say whether it is whole."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.video.container import Kind, inspect, sniff
from fleetsight.video.media_error import MediaEmptyError, MediaError, MediaFormatError, MediaTruncatedError


def box(name: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return (len(content) + 8 if length is None else length).to_bytes(4, "big") + name + content


HEAD = box(b"ftyp", b"isom\0\0\2\0isom")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (HEAD, Kind.MP4),
        (box(b"moov"), Kind.MP4),
        (b"\x1a\x45\xdf\xa3\x01", Kind.MATROSKA),
        ((b"\x47" + bytes(187)) * 3, Kind.MPEGTS),
    ],
)
def test_magic_bytes_choose_the_container(head: bytes, kind: Kind) -> None:
    assert sniff(head) is kind


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"ffconcat version 1.0\nfile x.mp4", "concat playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n", "HLS playlist"),
        (b"v=0\r\no=-", "SDP"),
        (b"RIFF\0\0\0\0AVI LIST", "RIFF"),
        (b"GIF89a", "GIF"),
        (b"hello there", "text"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "begins with 00 01"),
    ],
)
def test_what_is_refused_is_called_by_its_name(head: bytes, words: str) -> None:
    with pytest.raises(MediaFormatError, match=words):
        sniff(head)


def test_nothing_is_empty() -> None:
    with pytest.raises(MediaEmptyError):
        inspect(io.BytesIO(b""))


def test_an_mp4_is_whole_when_its_last_box_ends_with_the_file() -> None:
    whole = HEAD + box(b"moov", bytes(40)) + box(b"mdat", bytes(100))
    assert not inspect(io.BytesIO(whole)).truncated
    cut = inspect(io.BytesIO(whole[:-30]))
    assert cut.truncated
    assert cut.missing_bytes == 30


def test_a_box_with_64_bit_length_and_one_to_the_end_are_followed() -> None:
    long = b"\0\0\0\1mdat" + (16 + 50).to_bytes(8, "big") + bytes(50)
    assert not inspect(io.BytesIO(HEAD + long + box(b"moov", bytes(9)))).truncated
    assert not inspect(io.BytesIO(HEAD + box(b"moov") + box(b"mdat", bytes(70), length=0))).truncated


@pytest.mark.parametrize(
    "tail", [b"", box(b"mdat", bytes(50)), box(b"mdat", bytes(50), length=900), box(b"moov", bytes(9), length=900)]
)
def test_an_mp4_without_whole_index_is_refused_with_the_way_out(tail: bytes) -> None:
    with pytest.raises(MediaTruncatedError, match="MKV"):
        inspect(io.BytesIO(HEAD + tail))


def test_a_box_of_senseless_length_is_damage() -> None:
    assert inspect(io.BytesIO(HEAD + box(b"moov", bytes(9)) + box(b"mdat", bytes(9), length=5))).damaged


def test_a_fragmented_mp4_declares_no_length() -> None:
    clip = HEAD + box(b"moov", bytes(9)) + box(b"moof", bytes(9)) + box(b"mdat", bytes(9))
    assert not inspect(io.BytesIO(clip)).declares_length


@pytest.mark.parametrize(
    ("length", "missing"), [(b"\x01\0\0\0\0\0\0\x64", 60), (b"\x01\xff\xff\xff\xff\xff\xff\xff", 0), (b"\xa8", 0)]
)
def test_a_matroska_segment_tells_what_is_missing(length: bytes, missing: int) -> None:
    clip = b"\x1a\x45\xdf\xa3\x83\x42\x86\x01" + b"\x18\x53\x80\x67" + length + bytes(40)
    structure = inspect(io.BytesIO(clip))
    assert structure.missing_bytes == missing
    assert structure.truncated == (missing > 0)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", HEAD, box(b"moov"), b"\x1a\x45\xdf\xa3", b"\x47" + bytes(187) + b"\x47"]),
)
def test_any_bytes_end_in_a_structure_or_a_media_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(MediaError):
        assert inspect(io.BytesIO(start + data)).size_bytes == len(start + data)
