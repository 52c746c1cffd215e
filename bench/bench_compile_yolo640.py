"""Claim: detectors with trained weights answer 5 times as fast as default eager torch and twice tuned eager, at 0.5 mAP or less.

Two detectors: YOLOX-Nano (public weights) at 640 x 640, and our cooler detector at the size it is used. Truth for the cooler
detector is rendered, from seeds that no training ever draws. For YOLOX there is no labelled data at hand: what the float32
model finds in real clips and photographs stands for the truth, so its loss is disagreement with float32 and no loss against
people's labels. Eager code interprets the models' graphs in torch: their authors' modules are not at hand.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from compile_figures import SHARED, Goal, best, digest_of_names, finish, length, measure, offered, photographs
from rendered_frames import write_frames

from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.importing.importer import ImportOptions, import_onnx
from fleetsight.accel.importing.labels import COCO
from fleetsight.accel.measure.flow import Way
from fleetsight.accel.measure.report import Report
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.proving.agreement import SCORE_MIN, boxes_in_picture
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.proving.pictures import Pictures, read_pictures
from fleetsight.accel.proving.proof import reference_of
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.video.decode import ClipReader
from fleetsight.vision.average_precision import TruthBoxes
from fleetsight.vision.image import Image

SIDE_PX = 640
CLIPS = ("bottles.mp4", "dog.mp4")
FRAMES_PER_CLIP, FRAME_STEP = 12, 20
PHOTOGRAPHS = 24
RENDERED = 64
MAP_LOSS = 0.5


def yolox_at_640(root: Path) -> Path:
    """The public weights as a folder of ours, at 640 x 640."""
    model = import_onnx(
        SHARED / "models/yolox_nano.onnx", ImportOptions("yolox-nano", "yolox", COCO), store_dir=root / "models"
    ).resized((SIDE_PX, SIDE_PX))
    return PortableModel.save(root / "yolox-nano-640", model.onnx, card=model.card).folder


def found_by_float32(folder: Path, images: tuple[Image, ...], *, names: str) -> Pictures:
    """Pictures whose truth is what the float32 model finds in them."""
    bare = Pictures(len(images), lambda: images, True, names, digest_of_names(names))
    source = portable_source(PortableModel.load(folder))
    reference, boxes = reference_of(source, Gates(pictures=bare)), {}
    for index, (image, outputs) in enumerate(zip(images, reference.answers, strict=True)):
        found = boxes_in_picture(source, outputs, shape=image.shape)
        found = found.select(found.scores >= SCORE_MIN)
        boxes[index] = TruthBoxes(found.boxes_xyxy_px, found.labels, np.zeros((0, 4), np.float32))
    return Pictures(len(images), lambda: images, True, names, digest_of_names(names, "f32 truth"), boxes=boxes)


def real_pictures(*, is_smoke: bool) -> tuple[Image, ...]:
    """Frames of the real clips, and photographs."""
    images: list[Image] = []
    for name in CLIPS[:1] if is_smoke else CLIPS:
        images += list(_frames(SHARED / "data/clips" / name, 2 if is_smoke else FRAMES_PER_CLIP))
    return (*images, *photographs(2 if is_smoke else PHOTOGRAPHS).images)


def _frames(path: Path, count: int) -> Iterator[Image]:
    taken = 0
    with ClipReader(path) as reader:
        for index, frame in enumerate(reader):
            if index % FRAME_STEP == 0:
                yield frame.image
                taken += 1
            if taken == count:
                return


def goals_of(report: Report) -> list[Goal]:
    """What the fastest way that keeps its accuracy came to: one picture at a time, and throughput."""
    kept = tuple(row for row in report.rows if row.parity == "pass")
    alone, many = best(kept, streams=1), best(kept, streams=None)
    losses = [row.parity_detail["gates"]["task"]["drop"] for row in (alone, many) if row is not None]
    wording = f"{report.model}: times as fast as"
    return [
        Goal(f"{wording} default eager, one picture", 5.0, alone.ratio_default_eager if alone else None),
        Goal(f"{wording} tuned eager, one picture", 2.0, alone.ratio_tuned_eager if alone else None),
        Goal(f"{wording} default eager, throughput", 5.0, many.ratio_default_eager if many else None),
        Goal(f"{wording} tuned eager, throughput", 2.0, many.ratio_tuned_eager if many else None),
        Goal(
            f"{report.model}: 0.5 less its loss of mAP",
            0.0,
            MAP_LOSS - max(losses) if losses else None,
            needs_amx=False,
        ),
    ]


def main() -> None:
    """Measure both detectors in each precision."""
    if not SHARED.is_dir():
        print(f"skipped: {SHARED} is absent (FLEETSIGHT_SHARED names another place)", file=sys.stderr)
        return
    run = length(rounds=7, seconds=3.0)
    # A smoke run leaves int8 out: its accuracy guard takes minutes on trained weights.
    precisions = offered("f32") if run.is_smoke else offered("f32", "bf16", "int8")
    ways = tuple(Way("openvino", precision, 1, streams) for precision in precisions for streams in (1, None))
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        yolox = yolox_at_640(root)
        origin = "frames of two real clips and photographs; truth is what float32 finds"
        public = found_by_float32(yolox, real_pictures(is_smoke=run.is_smoke), names=origin)
        first = measure(yolox, ways, pictures=public, run=run)
        write_frames(root / "rendered", RENDERED if not run.is_smoke else 4)
        rendered = read_pictures(root / "rendered")
        second = measure(bundled_model("cooler-detector").folder, ways, pictures=rendered, run=run)
    fastest = best(tuple(row for row in second.rows if row.parity == "pass"))
    goals = [
        *goals_of(first),
        *goals_of(second),
        Goal("cooler-detector: frames/s at the size it is used", 120.0, fastest.images_per_s if fastest else None),
    ]
    finish("compile_yolo640", [first, second], goals=goals, run=run, more={})


if __name__ == "__main__":
    main()
