"""Claim: SAM ViT-B at 1024 px compiled in parts against transformers eager, part by part.

Full-size architecture with random weights (seed 0): they serve for speed. Every contender is a clean process; turns are
interleaved. `--small` runs a tiny network through the same code.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from race import middle_ms, race, serve, spread_ms
from record import record

TASKS = ("image encoder", "mask decoder", "image and point")
POINT = (500.0, 300.0)


def make_folder(folder: Path, *, small: bool) -> None:
    """Write the configuration of SAM ViT-B; no weights."""
    from transformers import SamConfig, SamImageProcessorPil

    vision: dict[str, Any] = {}
    if small:
        vision = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "global_attn_indexes": [1]}
        vision |= {"mlp_dim": 96}
    config = SamConfig(vision_config=vision)
    config.architectures = ["SamModel"]
    config.save_pretrained(folder)
    SamImageProcessorPil().save_pretrained(folder)


def tuned_kinds() -> tuple[str, ...]:
    """Tuned baselines; torch's bf16 is tens of times slower than float32 where the processor has no such arithmetic."""
    from fleetsight.accel.targets import openvino

    return ("f32", "bf16") if "bf16" in openvino.precisions() else ("f32",)


def picture() -> Any:
    """A 1280 x 720 picture, as a camera gives it."""
    import cv2

    from fleetsight.accel.proving.pictures import made_up_pictures

    return cv2.resize(made_up_pictures(1).images[0], (1280, 720))


def eager(folder: Path, kind: str) -> None:
    """Be transformers: "default" as it comes, "f32" and "bf16" in inference mode."""
    import torch
    from transformers import SamImageProcessorPil

    from fleetsight.accel.parts.original import load_original
    from fleetsight.accel.parts.recipes import find_recipe

    model: Any = load_original(find_recipe("sam"), folder)
    processor, image = SamImageProcessorPil.from_pretrained(folder), picture()
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    points = torch.tensor([[[[POINT[0] * 0.8, POINT[1] * 0.8]]]])

    def pixels() -> Any:
        return torch.from_numpy(processor(image, return_tensors="np")["pixel_values"]).to(model.dtype)

    kept = pixels()
    with torch.inference_mode() if kind != "default" else torch.no_grad():
        states = model.vision_encoder(kept).last_hidden_state
        serve(
            {
                "image encoder": lambda: model.vision_encoder(kept),
                "mask decoder": lambda: model(image_embeddings=states, input_points=points),
                "image and point": lambda: model(pixel_values=pixels(), input_points=points),
            }
        )


def compiled(plan: Path) -> None:
    """Be the compiled pipeline; torch stays out of the process."""
    from fleetsight.accel.artifacts.artifact import Artifact
    from fleetsight.accel.parts.segment import Prompt, SamPipeline

    said = json.loads(plan.read_text(encoding="utf-8"))
    sessions = {
        name: Artifact.open(folder, trusted=said["trusted"]).session() for name, folder in said["parts"].items()
    }
    pipeline, image = SamPipeline(sessions, said["settings"]), picture()
    kept, seen, prompt = pipeline.pixels(image), pipeline.look(image), Prompt(points_px=((*POINT, True),))
    serve(
        {
            "image encoder": lambda: sessions["image_encoder"].run(kept),
            "mask decoder": lambda: pipeline.segment(seen, [prompt]),
            "image and point": lambda: pipeline.segment(pipeline.look(image), [prompt]),
        }
    )
    assert "torch" not in sys.modules


def compile_all(root: Path, folder: Path, *, with_int8: bool) -> tuple[dict[str, Path], dict[str, Any]]:
    """Compile in every arithmetic the processor offers; what a gate refuses is marked."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.parts.flow import RecipeRequest, compile_parts
    from fleetsight.accel.parts.part import Examples
    from fleetsight.accel.proving.pictures import made_up_pictures
    from fleetsight.accel.targets import openvino
    from fleetsight.errors import Error

    native = "bf16" if "bf16" in openvino.precisions() else "f32"
    wishes: dict[str, tuple[str, dict[str, str]]] = {"openvino f32": ("f32", {})}
    if native == "bf16":
        wishes["openvino bf16"] = ("bf16", {})
    if with_int8:
        wishes[f"openvino {native}, image encoder int8"] = (native, {"image_encoder": "int8"})
    cache = ArtifactCache(root / "cache", Ed25519PrivateKey.generate())
    plans: dict[str, Path] = {}
    detail: dict[str, Any] = {}
    for name, (precision, single) in wishes.items():
        examples = Examples(made_up_pictures(1).images)
        request = RecipeRequest("sam", folder, precision=precision, part_precisions=single, examples=examples)
        print(f"compiling {name}", file=sys.stderr, flush=True)
        try:
            parts, settings = compile_parts(request, cache)
        except Error as error:
            detail[name] = {"refused": error.message}
            continue
        detail[name] = {"parts": {part.name: dict(part.artifact.manifest.parity["outputs"]) for part in parts}}
        plan: dict[str, Any] = {"parts": {part.name: str(part.artifact.folder) for part in parts}, "settings": settings}
        plans[name] = root / f"{len(plans)}.json"
        plans[name].write_text(json.dumps(plan | {"trusted": sorted(cache.trusted)}), encoding="utf-8")
    return plans, detail


def main() -> None:
    """Compile, race, and write the table down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--int8", action="store_true", help="Quantise the image encoder too: minutes and 10 GB.")
    parser.add_argument("--eager", nargs=2)
    parser.add_argument("--compiled", type=Path)
    options = parser.parse_args()
    if options.eager:
        return eager(Path(options.eager[0]), options.eager[1])
    if options.compiled:
        return compiled(options.compiled)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "sam-vit-base"
        make_folder(folder, small=options.small)
        plans, detail = compile_all(root, folder, with_int8=options.int8)
        commands = {f"eager {kind}": [__file__, "--eager", str(folder), kind] for kind in ("default", *tuned_kinds())}
        commands |= {kind: [__file__, "--compiled", str(plan)] for kind, plan in plans.items()}
        times = race(commands, TASKS, rounds=options.rounds, runs=options.runs)
    best = {task: min(middle_ms(times[f"eager {kind}"][task]) for kind in tuned_kinds()) for task in TASKS}
    rows = []
    for kind, mine in times.items():
        row = [kind]
        for task in TASKS:
            ratio = middle_ms(times["eager default"][task]) / middle_ms(mine[task])
            row.append(f"{spread_ms(mine[task])}, {ratio:.2f}x / {best[task] / middle_ms(mine[task]):.2f}x")
        rows.append(row)
    result = {
        "table": {"columns": ["contender", *(f"{task}, ms" for task in TASKS)], "rows": rows},
        "note": "random weights; median (min to max), times faster than eager default / than the faster tuned eager",
        "n": options.rounds * options.runs,
        "small": options.small,
        "times_s": times,
        "parity": detail,
        "command": "python bench/bench_compile_sam.py",
    }
    record("compile_sam_small" if options.small else "compile_sam", result)
    return None


if __name__ == "__main__":
    main()
