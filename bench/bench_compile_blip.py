"""Claim: BLIP base at 384 px in compiled parts against transformers eager: encoder, one question, ten on one image.

Full-size architecture with random weights (seed 0): they serve for speed, and their agreement only shows what arithmetic
does to a network of this depth. Every contender is a clean process; turns are interleaved; free answers have ANSWER tokens.
`--small` runs a tiny network through the same code.
"""

import json
from pathlib import Path
from typing import Any

from parts_race import Study, Tasks, native_precision, picture, run
from race import serve

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


def compiled(sessions: dict[str, Any], settings: dict[str, Any]) -> Tasks:
    """What the compiled pipeline does."""
    from fleetsight.accel.parts.vqa import VqaPipeline

    pipeline, image = VqaPipeline(sessions, settings), picture()
    kept = pipeline.pixels(image)
    return {
        "vision": lambda: sessions["vision_encoder"].run(kept),
        "one": lambda: pipeline.ask(image, QUESTIONS[:1]),
        "ten": lambda: pipeline.ask(image, QUESTIONS),
        "closed": lambda: pipeline.choose(pipeline.read(pipeline.look(image), QUESTIONS[:1]), ("yes", "no")),
    }


def requests(folder: Path, *, slow_int8: bool) -> dict[str, Any]:
    """Every arithmetic that the processor offers."""
    del slow_int8  # here int8 takes seconds
    from fleetsight.accel.parts.flow import RecipeRequest
    from fleetsight.accel.parts.part import Examples
    from fleetsight.accel.proving.pictures import made_up_pictures

    native = native_precision()
    int8 = {"vision_encoder": "int8"}
    wishes: dict[str, tuple[str, str, dict[str, str]]] = {
        f"openvino {name}": ("openvino", name, {}) for name in sorted({"f32", native}, reverse=True)
    }
    wishes[f"openvino {native}, vision encoder int8"] = ("openvino", native, int8)
    if native == "f32":  # without a matrix unit ONNX Runtime multiplies bytes faster
        wishes["onnxruntime f32, vision encoder int8"] = ("onnxruntime", "f32", int8)
    return {
        name: RecipeRequest(
            "blip-vqa",
            folder,
            target=target,
            precision=precision,
            part_precisions=single,
            sizes={"answer_tokens": (ANSWER,)},
            examples=Examples(made_up_pictures(4).images, QUESTIONS[:4], ("yes", "no")),
        )
        for name, (target, precision, single) in wishes.items()
    }


if __name__ == "__main__":
    run(
        Study(
            name="compile_blip",
            script=__file__,
            tasks=("vision", "one", "ten", "closed"),
            make_folder=make_folder,
            eager=eager,
            compiled=compiled,
            requests=requests,
            answers=True,
            turns=(5, 3),
            more={"answer_tokens": ANSWER},
        )
    )
