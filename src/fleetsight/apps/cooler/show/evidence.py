"""What a person needs to believe a basket, or to dispute it: an annotated clip and a strip of frames for each event.

The clip is decoded a second time, so settling never waits for pictures that nobody may ask for.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from fleetsight.apps.cooler.events import Event, Kind
from fleetsight.apps.cooler.flow import Settlement
from fleetsight.video.decode import ClipReader, Limits
from fleetsight.video.encode import write_clip
from fleetsight.vision.image import Image

COLOURS: dict[Kind, tuple[int, int, int]] = {
    Kind.TAKE: (220, 60, 50),
    Kind.PUT_BACK: (40, 150, 80),
    Kind.MOVE: (60, 110, 200),
    Kind.FOREIGN_ITEM: (200, 40, 200),
    Kind.UNKNOWN: (230, 150, 20),
}
SHOW_S = 1.2
"""An event's box stays on the annotated clip this long before and after it."""
STRIP_OFFSETS_S = (-1.2, -0.6, 0.0, 0.6, 1.2)
STRIP_HEIGHT_PX = 150
STRIP_ZOOM = 2
"""A strip shows this part of the picture's width and height around the event: as much as one needs to recognise a pack."""
DARK = (29, 36, 48)
RATE_DEFAULT = Fraction(25)


def write_evidence(settlement: Settlement, folder: Path, *, limits: Limits | None = None) -> dict[str, str]:
    """Write the annotated clip and the strips of a settlement.

    Args:
        settlement: the answer.
        folder: exists or is made.
        limits: of the decoder; None takes the defaults.
    Returns:
        File names by what they show: `clip` and `event_0`, `event_1`, …
    Raises:
        MediaError: the clip cannot be read any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    events = settlement.events
    strips: list[dict[float, Image]] = [{} for _ in events]
    names: dict[str, str] = {"clip": "annotated.mp4"}
    with ClipReader(settlement.clip, limits=limits or Limits()) as reader:
        rate = reader.info.rate_hz or RATE_DEFAULT
        write_clip(folder / names["clip"], _annotated(reader, events, strips), rate_hz=rate, crf=24)
    for index, (event, frames) in enumerate(zip(events, strips, strict=True)):
        if frames:
            name = f"event_{index}_{event.kind}.png"
            cv2.imwrite(str(folder / name), cv2.cvtColor(_strip(event, frames), cv2.COLOR_RGB2BGR))
            names[f"event_{index}"] = name
    return names


def describe(event: Event) -> str:
    """An event in one short line.

    Args:
        event: any event.
    Returns:
        Such as `take 2 x cola-330 at 4.2 s`.
    """
    number = f"{event.count} x " if event.count > 1 else ""
    return f"{event.kind.replace('_', ' ')} {number}{event.sku or 'not in catalog'} at {event.at_s:.1f} s"


def _annotated(reader: ClipReader, events: Sequence[Event], strips: list[dict[float, Image]]) -> Iterator[Image]:
    """Frames with boxes drawn in; frames for the strips are put aside on the way."""
    wanted = [[(offset, event.at_s + offset) for offset in STRIP_OFFSETS_S] for event in events]
    for frame in reader:
        at_s = frame.pts_ns / 1e9
        for event, frames, moments in zip(events, strips, wanted, strict=True):
            for offset, moment in moments:
                if offset not in frames and at_s >= max(moment, 0.0):
                    frames[offset] = _around(_marked(frame.image, [event], bold=offset == 0.0), event)
        shown = [event for event in events if abs(at_s - event.at_s) <= SHOW_S]
        canvas = _marked(frame.image, shown, bold=True)
        _caption(canvas, f"{at_s:5.1f} s", (6, canvas.shape[0] - 8), DARK)
        for row, event in enumerate(e for e in events if e.at_s <= at_s):
            _caption(canvas, describe(event), (6, 16 + 18 * row), COLOURS[event.kind])
        height, width = canvas.shape[0] // 2 * 2, canvas.shape[1] // 2 * 2  # H.264 codes pairs of pixels
        yield np.ascontiguousarray(canvas[:height, :width])


def _marked(image: Image, events: Sequence[Event], *, bold: bool) -> Image:
    canvas = image.copy()
    for event in events:
        x0, y0, x1, y1 = (round(v) for v in event.box_xyxy_px)
        cv2.rectangle(canvas, (x0, y0), (x1, y1), COLOURS[event.kind], 3 if bold else 1)
    return canvas


def _caption(canvas: Image, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    x, y = origin
    cv2.rectangle(canvas, (x - 4, y - height - 3), (x + width + 3, y + below), colour, cv2.FILLED)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def _around(image: Image, event: Event) -> Image:
    """The part of the picture around an event; all of it when the event has no place."""
    x0, y0, x1, y1 = event.box_xyxy_px
    if x1 <= x0 or y1 <= y0:
        return image
    height, width = image.shape[0] // STRIP_ZOOM, image.shape[1] // STRIP_ZOOM
    left = min(max(0, round((x0 + x1 - width) / 2)), image.shape[1] - width)
    top = min(max(0, round((y0 + y1 - height) / 2)), image.shape[0] - height)
    return image[top : top + height, left : left + width]


def _strip(event: Event, frames: dict[float, Image]) -> Image:
    cells = []
    for offset in sorted(frames):
        image = frames[offset]
        width = round(image.shape[1] * STRIP_HEIGHT_PX / image.shape[0])
        cell = cv2.resize(image, (width, STRIP_HEIGHT_PX), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        _caption(cell, f"{event.at_s + offset:.1f} s", (5, STRIP_HEIGHT_PX - 7), DARK)
        cells.append(cell)
    return np.concatenate(cells, axis=1)
