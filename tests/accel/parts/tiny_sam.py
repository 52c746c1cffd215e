"""A seeded SAM of a few thousand weights, saved as transformers saves it."""

from pathlib import Path
from typing import Any

SIDE = 64


def save_tiny_sam(folder: Path, seed: int = 1) -> Any:
    """Make, randomise and save the model; answers it."""
    from transformers import SamConfig, SamImageProcessorPil, SamModel

    from fleetsight.accel.parts.original import randomise

    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 8,
            "window_size": 3,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
            "mlp_dim": 64,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": SIDE,
            "patch_size": 8,
            "image_embedding_size": SIDE // 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    model: Any = SamModel(config)
    model.eval()
    randomise(model, seed)
    model.save_pretrained(folder)
    processor = SamImageProcessorPil(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": SIDE // 2},
        mask_pad_size={"height": SIDE // 2, "width": SIDE // 2},
    )
    processor.save_pretrained(folder)
    return model
