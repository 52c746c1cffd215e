"""Claim: BLIP base at 384 px in compiled parts against transformers eager: encoder, one question, ten on one image.

Full-size architecture with random weights (seed 0): they serve for speed, and their agreement only shows what arithmetic
does to a network of this depth. Every contender is a clean process; turns are interleaved; free answers have ANSWER tokens.
`--small` runs a tiny network through the same code.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from race import middle_ms, race, serve, spread_ms
from record import record

ANSWER = 4
"""Tokens of a free answer: "yes" and its end are two, "black and white" and its end four."""

QUESTIONS = (
    "is there a cat in the picture?",
    "is a person in the room?",
    "what is on the floor?",
    "what color is the wall?",
    "is the dog on the sofa?",
    "is the door open?",
    "how many bowls are there?",
    "is the light on?",
    "what is the cat doing?",
    "is the bowl empty?",
)
TASKS = ("vision", "one", "ten", "closed")
VOCABULARY = 30524


def make_folder(folder: Path, *, small: bool) -> None:
    """Write the configuration of BLIP base and a tokenizer of its size; no weights."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BlipConfig, BlipImageProcessorPil

    text: dict[str, Any] = {"vocab_size": VOCABULARY, "encoder_hidden_size": 768}
    vision: dict[str, Any] = {"image_size": 384}
    if small:
        text |= {"hidden_size": 64, "encoder_hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        text |= {"num_attention_heads": 4}
        vision |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"bos_token_id": 30522, "sep_token_id": 102, "pad_token_id": 0, "eos_token_id": 2}
    config = BlipConfig(text_config=text, vision_config=vision)
    config.architectures = ["BlipForQuestionAnswering"]
    config.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 384, "width": 384}).save_pretrained(folder)
    words = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[DEC]": 30522}
    asked = sorted({word.strip("?") for question in QUESTIONS for word in question.split()} | {"?", "yes", "no"})
    words |= {word: 2000 + index for index, word in enumerate(asked)}
    taken = set(words.values())
    words |= {f"w{index}": index for index in range(VOCABULARY) if index not in taken}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")


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
    """Be transformers: "default" as it comes, "f32" and "bf16" with inference mode and all questions in one batch."""
    import torch
    from transformers import AutoTokenizer, BlipImageProcessorPil

    from fleetsight.accel.parts.original import load_original
    from fleetsight.accel.parts.recipes import find_recipe

    model: Any = load_original(find_recipe("blip-vqa"), folder)
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), BlipImageProcessorPil.from_pretrained(folder)
    image, tuned = picture(), kind != "default"
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    kept = torch.from_numpy(processor(image, return_tensors="np")["pixel_values"]).to(model.dtype)

    def pixels() -> Any:
        return torch.from_numpy(processor(image, return_tensors="np")["pixel_values"]).to(model.dtype)

    def generate(questions: tuple[str, ...]) -> Any:
        rows = tokenizer(list(questions), return_tensors="pt", padding=True)
        batch = pixels().expand(len(questions), -1, -1, -1)
        ids, mask = rows["input_ids"], rows["attention_mask"]
        return model.generate(input_ids=ids, attention_mask=mask, pixel_values=batch, max_new_tokens=ANSWER)

    def closed() -> Any:
        ids = tokenizer([QUESTIONS[0]], return_tensors="pt")["input_ids"]
        states = model.text_encoder(
            input_ids=ids, encoder_hidden_states=model.vision_model(pixel_values=pixels()).last_hidden_state
        ).last_hidden_state
        given = torch.tensor([[30522, tokenizer.convert_tokens_to_ids(answer)] for answer in ("yes", "no")])
        return model.text_decoder(input_ids=given, encoder_hidden_states=states.expand(2, -1, -1)).logits

    def ten() -> Any:
        # One by one encodes the image ten times; in one batch transformers does too.
        return generate(QUESTIONS) if tuned else [generate((question,)) for question in QUESTIONS]

    with torch.inference_mode() if tuned else torch.no_grad():
        serve(
            {
                "vision": lambda: model.vision_model(pixel_values=kept),
                "one": lambda: generate(QUESTIONS[:1]),
                "ten": ten,
                "closed": closed,
            }
        )


def compiled(plan: Path) -> None:
    """Be the compiled pipeline; torch stays out of the process."""
    from fleetsight.accel.artifacts.artifact import Artifact
    from fleetsight.accel.parts.vqa import VqaPipeline

    said = json.loads(plan.read_text(encoding="utf-8"))
    sessions = {
        name: Artifact.open(folder, trusted=said["trusted"]).session() for name, folder in said["parts"].items()
    }
    pipeline, image = VqaPipeline(sessions, said["settings"]), picture()
    kept = pipeline.pixels(image)

    def closed() -> Any:
        return pipeline.choose(pipeline.read(pipeline.look(image), QUESTIONS[:1]), ("yes", "no"))

    serve(
        {
            "vision": lambda: sessions["vision_encoder"].run(kept),
            "one": lambda: pipeline.ask(image, QUESTIONS[:1]),
            "ten": lambda: pipeline.ask(image, QUESTIONS),
            "closed": closed,
        }
    )
    assert "torch" not in sys.modules


def compile_all(root: Path, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Compile in every arithmetic the processor offers; gates speak, and what they refuse is measured and marked."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fleetsight.accel.artifacts.cache import ArtifactCache
    from fleetsight.accel.parts.flow import RecipeRequest, compile_parts, compile_recipe
    from fleetsight.accel.parts.part import Examples
    from fleetsight.accel.proving.pictures import made_up_pictures
    from fleetsight.accel.targets import openvino
    from fleetsight.errors import Error

    native = "bf16" if "bf16" in openvino.precisions() else "f32"
    wishes: dict[str, tuple[str, str, dict[str, str]]] = {"openvino f32": ("openvino", "f32", {})}
    if native == "bf16":
        wishes["openvino bf16"] = ("openvino", "bf16", {})
    int8 = {"vision_encoder": "int8"}
    wishes[f"openvino {native}, vision encoder int8"] = ("openvino", native, int8)
    if native == "f32":  # without a matrix unit ONNX Runtime multiplies bytes faster
        wishes["onnxruntime f32, vision encoder int8"] = ("onnxruntime", "f32", int8)
    examples = Examples(made_up_pictures(4).images, QUESTIONS[:4], ("yes", "no"))
    cache = ArtifactCache(root / "cache", Ed25519PrivateKey.generate())
    plans: dict[str, Path] = {}
    detail: dict[str, Any] = {}
    for name, (target, precision, single) in wishes.items():
        request = RecipeRequest(
            "blip-vqa",
            folder,
            target=target,
            precision=precision,
            part_precisions=single,
            sizes={"answer_tokens": (ANSWER,)},
            examples=examples,
        )
        print(f"compiling {name}", file=sys.stderr, flush=True)
        try:
            parts, settings = compile_parts(request, cache)
        except Error as error:
            detail[name] = {"refused": error.message}
            continue
        detail[name] = {"parts": {part.name: dict(part.artifact.manifest.parity["outputs"]) for part in parts}}
        try:
            found = compile_recipe(request, cache)
            detail[name]["answers"] = found.artifact.manifest.parity["answers"]
        except Error as error:
            detail[name]["refused"] = error.message
        plan: dict[str, Any] = {"parts": {part.name: str(part.artifact.folder) for part in parts}, "settings": settings}
        plans[name] = root / f"{len(plans)}.json"
        plans[name].write_text(json.dumps(plan | {"trusted": sorted(cache.trusted)}), encoding="utf-8")
    return plans, detail


def main() -> None:
    """Compile, race, and write the table down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--eager", nargs=2)
    parser.add_argument("--compiled", type=Path)
    options = parser.parse_args()
    if options.eager:
        return eager(Path(options.eager[0]), options.eager[1])
    if options.compiled:
        return compiled(options.compiled)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "blip-base"
        make_folder(folder, small=options.small)
        plans, detail = compile_all(root, folder)
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
        said = detail.get(kind, {})
        answers = said.get("answers")
        row.append(f"{answers['same']} of {answers['asked']}" if answers else said.get("refused", ""))
        rows.append(row)
    table = {"columns": ["contender", *(f"{task}, ms" for task in TASKS), "answers of the original"], "rows": rows}
    result = {
        "table": table,
        "note": "random weights; median (min to max), times faster than eager default / than the faster tuned eager",
        "n": options.rounds * options.runs,
        "answer_tokens": ANSWER,
        "small": options.small,
        "times_s": times,
        "parity": detail,
        "command": "python bench/bench_compile_blip.py",
    }
    record("compile_blip_small" if options.small else "compile_blip", result)
    return None


if __name__ == "__main__":
    main()
