"""The truth of each frame as files: boxes and ids as lines of JSON, visible masks as a folder of arrays in one file.

``frames.jsonl`` has one object per frame. ``masks.npz`` has one array per frame, named by its index: (h, w) int16, the item id that each
pixel shows (hands and forearms are numbered as in ``sim.shoppers.arms``), -1 for the rest.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fleetsight.sim.designs import Design
from fleetsight.sim.session import RenderedFrame

FRAMES = "frames.jsonl"
MASKS = "masks.npz"


def kept(frames: Iterable[RenderedFrame], folder: Path, *, catalog: tuple[Design, ...]) -> Iterator[RenderedFrame]:
    """Hand frames on and write the truth of each.

    Args:
        frames: as they are rendered.
        folder: an existing folder.
        catalog: the SKUs, in the order of `FrameTruth.sku_index`.

    Yields:
        The same frames; the files are complete when there are no more.
    """
    with (
        (folder / FRAMES).open("w", encoding="utf-8") as lines,
        zipfile.ZipFile(folder / MASKS, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as masks,
    ):
        for index, frame in enumerate(frames):
            lines.write(json.dumps({"frame": index, **frame_row(frame, catalog)}) + "\n")
            with masks.open(f"{index}.npy", "w") as file:
                np.lib.format.write_array(file, frame.owner, allow_pickle=False)
            yield frame


def frame_row(frame: RenderedFrame, catalog: tuple[Design, ...]) -> dict[str, Any]:
    """The truth of a frame as it is written.

    Args:
        frame: the frame.
        catalog: the SKUs.

    Returns:
        Time, items (id, SKU or None, box of what is visible, visible fraction) and hands (number of the arm, box).
    """
    truth = frame.truth
    items = [
        {
            "id": int(item),
            "sku": catalog[sku].sku if sku >= 0 else None,
            "box_xyxy_px": [round(float(side), 1) for side in box],
            "visible": round(float(visible), 3),
        }
        for item, sku, box, visible in zip(
            truth.item_ids, truth.sku_index, truth.boxes_xyxy_px, truth.visible_fraction, strict=True
        )
    ]
    hands = [
        {"arm": int(arm), "box_xyxy_px": [round(float(side), 1) for side in box]}
        for arm, box in zip(truth.hand_ids, truth.hand_boxes_xyxy_px, strict=True)
    ]
    return {"at_s": round(frame.pts_ns / 1e9, 6), "items": items, "hands": hands}
