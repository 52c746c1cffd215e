"""Light modules around the parts of BLIP for visual questions: they shape inputs and outputs and own no weights.

Every mask comes from outside as a bias that is added to attention scores, 0 or `HIDDEN`, so that shapes are fixed and
padding changes no answer. Keys and values travel as one array each: (b, 2 x layers, heads, length, width of a head), keys
of layer i at 2i, its values at 2i + 1.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache

from fleetsight.accel.parts.vqa import HIDDEN


class VisionEncoder(nn.Module):
    """Pixels to image states.

    Args:
        model: transformers' BlipForQuestionAnswering.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.vision_model

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pictures.

        Args:
            pixels: (b, 3, h, w) float32, normalised.

        Returns:
            (b, s, d): one row for the class token and one for each patch.
        """
        states: Tensor = self.inner(pixel_values=pixels).last_hidden_state
        return states


class TextEncoder(nn.Module):
    """Questions about one image to question states.

    Args:
        model: transformers' BlipForQuestionAnswering.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.text_encoder

    def forward(self, *inputs: Tensor) -> Tensor:
        """Encode questions while looking at the image.

        The image's keys and values are computed once for all questions of the batch.

        Args:
            *inputs: in this order
                ids: (b, q) int64, padded on the right.
                bias: (b, q) float32, 0 for tokens and `HIDDEN` for padding.
                image_states: (1, s, d) float32.

        Returns:
            (b, q, d); rows of padding hold numbers that mean nothing.
        """
        ids, bias, image_states = inputs
        hidden = self.inner.embeddings(input_ids=ids)
        states: Tensor = self.inner.encoder(
            hidden, attention_mask=bias[:, None, None, :], encoder_hidden_states=image_states
        ).last_hidden_state
        return states


class DecoderMemory(nn.Module):
    """Question states to the keys and values that the decoder's cross attention reads at every token.

    Args:
        model: transformers' BlipForQuestionAnswering.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.attentions: Any = nn.ModuleList(layer.crossattention.self for layer in _layers(model))

    def forward(self, question_states: Tensor) -> Tensor:
        """Project the states once per question.

        Args:
            question_states: (b, q, d) float32.

        Returns:
            (b, 2 x layers, heads, q, width).
        """
        projected = [
            _heads(project(question_states), attention)
            for attention in self.attentions
            for project in (attention.key, attention.value)
        ]
        return torch.stack(projected, dim=1)


class DecoderStep(nn.Module):
    """One token further: the decoder with its cache of keys and values.

    Args:
        model: transformers' BlipForQuestionAnswering.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.text_decoder
        self.past = int(model.config.text_config.num_hidden_layers)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one token of each row.

        The caller owns the cache and writes the new keys and values into it, so that nothing is copied here.

        Args:
            *inputs: in this order
                ids: (b, 1) int64, the token before.
                places: (b, 1) int64, its position.
                bias: (b, p + 1) float32: 0 for the places of the cache that are filled and for the token itself.
                question_bias: (b, q) float32.
                memory: (b, 2 x layers, heads, q, width), from `DecoderMemory`.
                cache: (b, 2 x layers, heads, p, width); what is not filled yet is ignored.

        Returns:
            logits: (b, 1, v).
            fresh: (b, 2 x layers, heads, 1, width): keys and values of this token.
        """
        ids, places, bias, question_bias, memory, cache = inputs
        past = _Past([cache[:, index] for index in range(cache.shape[1])])
        hidden = self.inner.bert.embeddings(input_ids=ids, position_ids=places)
        hidden = _decode(self.inner, hidden, bias[:, None, None, :], question_bias, _both(past, memory))
        return self.inner.cls(hidden), torch.stack(past.fresh, dim=1)


class AnswerScorer(nn.Module):
    """Logits at every token of given answers in one pass, for answers from a closed set.

    Args:
        model: transformers' BlipForQuestionAnswering.
        tokens: tokens per answer, with the one that starts it.
    """

    causal: Tensor

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        self.inner = model.text_decoder
        later = torch.ones(tokens, tokens).triu(1)
        self.register_buffer("causal", (later * float(HIDDEN))[None, None], persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Score answers.

        Args:
            *inputs: in this order
                ids: (b, t) int64: the starting token, then the answer, padded on the right with anything.
                question_bias: (b, q) float32.
                memory: (b, 2 x layers, heads, q, width).

        Returns:
            (b, t, v): at each place the logits of the token that follows.
        """
        ids, question_bias, memory = inputs
        past = _Past([])
        hidden = self.inner.bert.embeddings(input_ids=ids)
        hidden = _decode(self.inner, hidden, self.causal, question_bias, _both(past, memory))
        logits: Tensor = self.inner.cls(hidden)
        return logits


class _Kept:
    """Keys and values of one layer, as transformers' caches hold them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys
        self.values = values


class _Past:
    """A cache of self attention whose memory belongs to the caller; it remembers what was new."""

    def __init__(self, kept: Sequence[Tensor]) -> None:
        self.kept = kept
        self.fresh: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.fresh += [keys, values]
        if not self.kept:
            return keys, values
        return torch.cat([self.kept[2 * layer], keys], dim=2), torch.cat([self.kept[2 * layer + 1], values], dim=2)


class _Memory:
    """A cache of cross attention that is complete before decoding starts."""

    def __init__(self, memory: Tensor) -> None:
        layers = memory.shape[1] // 2
        self.layers = [_Kept(memory[:, 2 * layer], memory[:, 2 * layer + 1]) for layer in range(layers)]


def _both(past: _Past, memory: Tensor) -> Any:
    # The attention asks for this very class; its __init__ would want caches that own their memory.
    both = EncoderDecoderCache.__new__(EncoderDecoderCache)
    kept = _Memory(memory)
    both.self_attention_cache = past  # type: ignore[assignment]
    both.cross_attention_cache = kept  # type: ignore[assignment]
    both.is_updated = dict.fromkeys(range(len(kept.layers)), True)
    return both


def _decode(decoder: Any, hidden: Tensor, bias: Tensor, question_bias: Tensor, cache: Any) -> Tensor:
    """Run the decoder's own layers.

    transformers 5.24 drops the mask of the question on its way to the cross attention (`BlipTextAttention.forward` does
    not pass it on), which nobody notices with one question of exact length; padded questions need it, so the cross
    attention is called directly.
    """
    crossing = question_bias[:, None, None, :]
    for layer in decoder.bert.encoder.layer:
        hidden = layer.attention(hidden, attention_mask=bias, cache=cache)[0]
        # The states are not read: their keys and values are in the cache. They tell the attention which of its two
        # roles it has.
        seen = layer.crossattention.self(
            hidden, encoder_hidden_states=hidden, encoder_attention_mask=crossing, cache=cache
        )[0]
        hidden = layer.feed_forward_chunk(layer.crossattention.output(seen, hidden))
    return hidden


def _layers(model: Any) -> Any:
    return model.text_decoder.bert.encoder.layer


def _heads(states: Tensor, attention: Any) -> Tensor:
    width = int(attention.attention_head_size)
    return states.view(*states.shape[:-1], -1, width).transpose(1, 2)
