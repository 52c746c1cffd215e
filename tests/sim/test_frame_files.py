"""The truth of frames as files: what the lines say is what the masks show."""

import json
from itertools import islice
from pathlib import Path

import numpy as np

from fleetsight.sim.frame_files import FRAMES, MASKS, kept
from fleetsight.sim.session import plan_session, render

FRAME_COUNT = 3


def test_boxes_of_the_lines_are_tight_around_the_masks(tmp_path: Path) -> None:
    plan = plan_session("basic", 3, size_wh=(320, 180))
    frames = list(kept(islice(render(plan), FRAME_COUNT), tmp_path, catalog=plan.catalog))
    rows = [json.loads(line) for line in (tmp_path / FRAMES).read_text().splitlines()]
    masks = np.load(tmp_path / MASKS, allow_pickle=False)
    assert [row["frame"] for row in rows] == list(range(FRAME_COUNT))
    for row, frame in zip(rows, frames, strict=True):
        owner = masks[str(row["frame"])]
        np.testing.assert_array_equal(owner, frame.owner)
        assert row["items"]
        for item in row["items"]:
            ys, xs = np.nonzero(owner == item["id"])
            assert item["box_xyxy_px"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert 0 < item["visible"] <= 1
            assert item["sku"] in {design.sku for design in plan.catalog}
