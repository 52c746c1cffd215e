"""A seeded BLIP of a few thousand weights, with a tokenizer of a few words, saved as transformers saves it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import Examples

QUESTIONS = ("is the cat on the bed ?", "is a dog here ?", "what is it ?", "where is the red ball ?")
WORDS = [
    "is",
    "the",
    "cat",
    "on",
    "a",
    "dog",
    "bed",
    "here",
    "what",
    "where",
    "it",
    "red",
    "ball",
    "?",
    "yes",
    "no",
    "two",
    "black",
    "in",
    "under",
    "sofa",
    "kitchen",
    "empty",
]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")
WIDTH, HEADS, LAYERS, SIDE = 32, 4, 2, 32
ENDING = 4.0


def images(count: int) -> tuple[NDArray[np.uint8], ...]:
    """Pictures of coloured rectangles, each another."""
    rng = np.random.default_rng(5)
    pictures = []
    for _ in range(count):
        picture = np.full((48, 64, 3), rng.integers(0, 256, 3), dtype=np.uint8)
        for _ in range(3):
            x, y = int(rng.integers(0, 40)), int(rng.integers(0, 30))
            picture[y : y + 18, x : x + 22] = rng.integers(0, 256, 3)
        pictures.append(picture)
    return tuple(pictures)


def examples(count: int = 2) -> Examples:
    return Examples(images=images(count), questions=QUESTIONS, answers=("yes", "no"))


def save_tiny_blip(folder: Path, seed: int = 9) -> Any:
    """Make, randomise and save the model; answers it."""
    import torch
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipImageProcessorPil

    from fleetsight.accel.parts.original import randomise

    config = BlipConfig(
        text_config={
            "vocab_size": len(SPECIAL) + len(WORDS),
            "hidden_size": WIDTH,
            "encoder_hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": 32,
            "pad_token_id": 0,
            "bos_token_id": 4,
            "sep_token_id": 3,
            "eos_token_id": 3,
        },
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": SIDE,
            "patch_size": 8,
        },
        projection_dim=16,
        image_text_hidden_size=16,
    )
    model: Any = BlipForQuestionAnswering(config)
    model.eval()
    randomise(model, seed)
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[3] += ENDING  # [SEP]: some answers end early, others are cut off
    model.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    save_tokenizer(folder)
    return model


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "bos_token": "[DEC]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
