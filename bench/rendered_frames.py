"""Frames of rendered coolers with their truth, as `fleetsight compile --data` takes them; of sessions that no training saw."""

import json
from pathlib import Path

import cv2
import numpy as np

from fleetsight.accel.proving.pictures import TRUTH_FILE
from fleetsight.sim.samples import sample_labels
from fleetsight.sim.session import Renderer, plan_session
from fleetsight.sim.shoppers.scenarios import SCENARIOS

FIRST_SEED = 7_000
"""Sessions for scoring are of another world than those for training, whatever the seed (sim.session)."""

FRAMES_PER_SESSION = 4


def write_frames(folder: Path, count: int, *, first_seed: int = FIRST_SEED) -> None:
    """Render frames and their truth into a folder.

    Args:
        folder: made when it is missing.
        count: frames, spread over the scenarios in turn.
        first_seed: of the sessions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for index in range(count):
        session, part = divmod(index, FRAMES_PER_SESSION)
        plan = plan_session(SCENARIOS[session % len(SCENARIOS)], first_seed + session)
        at = int((part + 0.5) / FRAMES_PER_SESSION * plan.frame_count)
        frame = Renderer(plan).frame(at)
        boxes, labels, ignore = sample_labels(frame.truth)
        name = f"{plan.scenario}-{plan.seed}-{at:04d}.png"
        cv2.imwrite(str(folder / name), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        rows = np.concatenate([boxes, labels[:, None].astype(np.float32)], axis=1)
        truth[name] = {"boxes": rows.round(2).tolist(), "ignore": ignore.round(2).tolist()}
    (folder / TRUTH_FILE).write_text(json.dumps(truth), encoding="utf-8")
