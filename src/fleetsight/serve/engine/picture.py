"""From the bytes of a JPEG to pixels, within limits: what a picture would take is read from its head before anything is decoded."""

import cv2
import numpy as np

from fleetsight.serve.engine.protocol import FrameFault
from fleetsight.vision.image import Image

PIXELS_MAX = 40_000_000
"""Largest picture: above any camera of a shop (8K is 33 million); decoded, 120 MB."""
SIDE_MAX_PX = 16_384

_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_FRAME_HEADS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def jpeg_size_wh(data: bytes | bytearray | memoryview) -> tuple[int, int] | FrameFault:
    """Read the size from the head of a JPEG (ITU-T T.81, annex B), without decoding.

    Args:
        data: the whole file.
    Returns:
        width and height in pixels, or what is wrong.
    """
    view = memoryview(data)
    if len(view) < 4 or view[0] != 0xFF or view[1] != 0xD8:
        return FrameFault("the body is no JPEG: it does not begin with FF D8")
    at = 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            return FrameFault(f"the JPEG is damaged at byte {at}: a marker was expected")
        marker = view[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(view[at + 2 : at + 4], "big")
        if marker in _FRAME_HEADS:
            if at + 9 > len(view):
                break
            height, width = (int.from_bytes(view[at + n : at + n + 2], "big") for n in (5, 7))
            return (width, height) if width and height else FrameFault(f"the JPEG says {width} x {height} px")
        if length < 2:
            return FrameFault(f"the JPEG is damaged at byte {at}: a segment of {length} bytes")
        at += 2 + length
    return FrameFault("the JPEG ends before its frame begins")


def decode_jpeg(data: bytes | bytearray | memoryview) -> Image | FrameFault:
    """Decode a JPEG.

    Args:
        data: the whole file.
    Returns:
        (h, w, 3) uint8 RGB, or what is wrong with the bytes.
    """
    size = jpeg_size_wh(data)
    if isinstance(size, FrameFault):
        return size
    width, height = size
    if width * height > PIXELS_MAX or max(size) > SIDE_MAX_PX:
        return FrameFault(f"the picture is {width} x {height} px, at most {PIXELS_MAX} pixels are decoded")
    if bytes(memoryview(data)[-2:]) != b"\xff\xd9" and b"\xff\xd9" not in bytes(memoryview(data)[-4096:]):
        return FrameFault("the JPEG is cut off: it has no end")
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        return FrameFault("the JPEG cannot be decoded")
    return np.asarray(image, dtype=np.uint8)


def sample_jpeg(size_wh: tuple[int, int] = (640, 480)) -> bytes:
    """A picture with something in it, for warm-up: stripes and noise of a fixed seed.

    Args:
        size_wh: width and height in pixels.
    Returns:
        a JPEG of quality 85.
    """
    noise = np.random.default_rng(7).integers(0, 64, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    noise[:, ::16] += 128
    ok, encoded = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert ok
    return bytes(encoded.tobytes())
