"""Words to tokens and back, for pipelines that answer questions; the `tokenizers` library, without transformers."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetsight.accel.parts.part import PartError


class Words:
    """A tokenizer read from its file.

    Args:
        text: content of a `tokenizer.json`.
        pad: token that fills up.

    Raises:
        PartError: the library is missing, or the text is no tokenizer.
    """

    def __init__(self, text: str, *, pad: int) -> None:
        try:
            library: Any = import_module("tokenizers")
        except ImportError as error:
            raise PartError(
                "questions need the tokenizers library, which is not installed",
                hint="pip install 'fleetsight[words]'",
            ) from error
        try:
            self._tokenizer = library.Tokenizer.from_str(text)
        # The library raises the bare class for whatever is wrong with the text.
        except Exception as error:
            raise PartError(f"the model's tokenizer cannot be read: {str(error)[:200]}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._pad = pad

    def encode(self, text: str, *, marked: bool) -> list[int]:
        """Tokens of a text.

        Args:
            text: any text.
            marked: with the tokens that begin and end a sequence.

        Returns:
            token ids.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=marked).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens, special ones left out.

        Args:
            ids: token ids.

        Returns:
            the text.
        """
        return str(self._tokenizer.decode([int(token) for token in ids], skip_special_tokens=True)).strip()

    def padded(self, rows: Sequence[Sequence[int]], length: int) -> NDArray[np.int64]:
        """Rows of tokens as one array.

        Args:
            rows: token ids, each row at most `length` long.
            length: of every row of the array.

        Returns:
            (n, length) int64, filled up on the right.
        """
        array = np.full((len(rows), length), self._pad, dtype=np.int64)
        for row, ids in zip(array, rows, strict=True):
            row[: len(ids)] = ids
        return array
