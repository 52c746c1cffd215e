"""Claim: SAM ViT-B at 1024 px compiled in parts against transformers eager, part by part.

Full-size architecture with random weights (seed 0): they serve for speed. Every contender is a clean process; turns are
interleaved. `--small` runs a tiny network through the same code.
"""

from pathlib import Path
from typing import Any

from parts_race import Study, Tasks, native_precision, picture, run
from race import serve

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


def compiled(sessions: dict[str, Any], settings: dict[str, Any]) -> Tasks:
    """What the compiled pipeline does."""
    from fleetsight.accel.parts.segment import Prompt, SamPipeline

    pipeline, image = SamPipeline(sessions, settings), picture()
    kept, seen, prompt = pipeline.pixels(image), pipeline.look(image), Prompt(points_px=((*POINT, True),))
    return {
        "image encoder": lambda: sessions["image_encoder"].run(kept),
        "mask decoder": lambda: pipeline.segment(seen, [prompt]),
        "image and point": lambda: pipeline.segment(pipeline.look(image), [prompt]),
    }


def requests(folder: Path, *, slow_int8: bool) -> dict[str, Any]:
    """Every arithmetic that the processor offers."""
    from fleetsight.accel.parts.flow import RecipeRequest
    from fleetsight.accel.parts.part import Examples
    from fleetsight.accel.proving.pictures import made_up_pictures

    native = native_precision()
    examples = Examples(made_up_pictures(1).images)
    wishes: dict[str, tuple[str, dict[str, str]]] = {
        f"openvino {name}": (name, {}) for name in sorted({"f32", native}, reverse=True)
    }
    if slow_int8:
        wishes[f"openvino {native}, image encoder int8"] = (native, {"image_encoder": "int8"})
    return {
        name: RecipeRequest("sam", folder, precision=precision, part_precisions=single, examples=examples)
        for name, (precision, single) in wishes.items()
    }


if __name__ == "__main__":
    run(
        Study(
            name="compile_sam",
            script=__file__,
            tasks=("image encoder", "mask decoder", "image and point"),
            make_folder=make_folder,
            eager=eager,
            compiled=compiled,
            requests=requests,
            answers=False,
            turns=(3, 1),
            more={},
        )
    )
