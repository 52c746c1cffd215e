"""The protobuf wire format, as far as ONNX files need it (protobuf.dev/programming-guides/encoding).

A message is a row of fields: a number, and either a whole number or a run of bytes (a text, a message, a packed list).
Reading makes no copies and bounds-checks every step.
"""

from collections.abc import Iterator
from typing import TypeAlias

from fleetsight.errors import Error

Value: TypeAlias = int | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
"""Longest varint: 64 bits, seven a byte."""


class OnnxError(Error):
    """The file is not an ONNX model that can be used."""

    code = "model_onnx"


def read_fields(message: memoryview) -> Iterator[tuple[int, Value, memoryview]]:
    """The fields of one message.

    Args:
        message: its bytes.

    Yields:
        number of the field, its value, and the bytes of the whole field as they stand.

    Raises:
        OnnxError: the bytes are no message.
    """
    position, end = 0, len(message)
    while position < end:
        start = position
        tag, position = _read_varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value, message[start:position]
            continue
        if wire == _BYTES:
            length, position = _read_varint(message, position)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise OnnxError("the file is not an ONNX model: unknown field encoding")
        if number == 0 or position + length > end:
            raise OnnxError("the file is not an ONNX model, or it is cut off")
        position += length
        yield number, message[position - length : position], message[start:position]


def as_message(value: Value) -> memoryview:
    """The value as bytes.

    Args:
        value: value of a field.

    Returns:
        its bytes.

    Raises:
        OnnxError: it is a number.
    """
    if isinstance(value, int):
        raise OnnxError("the file is not an ONNX model: a number stands where a message belongs")
    return value


def as_number(value: Value) -> int:
    """The value as a number.

    Args:
        value: value of a field.

    Returns:
        the number.

    Raises:
        OnnxError: it is bytes.
    """
    if not isinstance(value, int):
        raise OnnxError("the file is not an ONNX model: bytes stand where a number belongs")
    return value


def as_text(value: Value) -> str:
    """The value as text.

    Args:
        value: value of a field.

    Returns:
        the text; what is not UTF-8 becomes a replacement character.

    Raises:
        OnnxError: it is a number.
    """
    return bytes(as_message(value)).decode("utf-8", "replace")


def write_field(number: int, value: int | bytes) -> bytes:
    """One field.

    Args:
        number: number of the field, >= 1.
        value: a whole number >= 0, or bytes.

    Returns:
        the field's bytes.
    """
    if isinstance(value, int):
        return _write_varint(number << 3 | _VARINT) + _write_varint(value)
    return _write_varint(number << 3 | _BYTES) + _write_varint(len(value)) + value


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(min(_VARINT_BYTES_MAX, len(message) - position)):
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise OnnxError("the file is not an ONNX model, or it is cut off")


def _write_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
