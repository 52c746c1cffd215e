import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.accel.wire import OnnxError, as_message, as_number, as_text, read_fields, write_field

FIELDS = st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**63 - 1) | st.binary(max_size=300)), max_size=8)


@given(FIELDS)
def test_fields_read_back_as_they_were_written(fields: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(write_field(number, value) for number, value in fields)
    found = [(n, v if isinstance(v, int) else bytes(v)) for n, v, _ in read_fields(memoryview(written))]
    assert found == fields
    assert b"".join(bytes(raw) for _, _, raw in read_fields(memoryview(written))) == written


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_an_onnx_error(content: bytes) -> None:
    try:
        list(read_fields(memoryview(content)))
    except OnnxError:
        return


@pytest.mark.parametrize("content", [b"\x0a\x05ab", b"\x08", b"\x80" * 11, b"\x0b", b"\x02\x00", b"\x0d\x00\x00"])
def test_damaged_fields_are_refused(content: bytes) -> None:
    with pytest.raises(OnnxError):
        list(read_fields(memoryview(content)))


def test_values_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(OnnxError, match="number stands"):
        as_message(1)
    with pytest.raises(OnnxError, match="bytes stand"):
        as_number(memoryview(b"a"))
    assert as_text(memoryview(b"\xff")) == "�"
