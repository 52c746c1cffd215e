"""Plain data as YAML: the small part of the language that manifests need, so that no YAML library has to be installed.

Text is written as a JSON string wherever YAML could read it as something else; JSON strings are YAML. Keys keep their order.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"})


def yaml_text(*documents: Any) -> str:
    """Write documents.

    Args:
        *documents: dictionaries and lists of text, numbers, booleans and None.

    Returns:
        YAML; several documents are divided by ``---``.
    """
    return "---\n".join("\n".join(_lines(document)) + "\n" for document in documents)


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines = []
        for key, inner in value.items():
            if isinstance(inner, str) and "\n" in inner:
                lines += [f"{_scalar(key)}: {'|' if inner.endswith(chr(10)) else '|-'}"]
                lines += [f"  {line}".rstrip() for line in inner.removesuffix("\n").split("\n")]
            elif isinstance(inner, Mapping | list | tuple) and inner:
                lines += [f"{_scalar(key)}:", *(f"  {line}" for line in _lines(inner))]
            else:
                lines.append(f"{_scalar(key)}: {_scalar(inner)}")
        return lines
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [line for inner in value for line in _item(inner)]
    return [_scalar(value)]


def _item(inner: Any) -> list[str]:
    first, *rest = _lines(inner)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, float) and "e" in (text := json.dumps(value)) and "." not in text:
        return text.replace("e", ".0e")  # YAML 1.1 takes 1e+16 for text
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
