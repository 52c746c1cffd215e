"""Which licences a model may carry: those of its code, its weights and its data all count.

The AGPL, the GPL and non-commercial or field-of-use licences would bind whoever ships the product, so a model with
such a lineage is refused unless the caller says otherwise. Words are matched, not SPDX expressions: licence fields of
model cards are free text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleetsight.errors import Error

UNSTATED = "unstated"
"""The licence of weights of which nobody says anything."""

_RESTRICTED = (
    ("AGPL", re.compile(r"\bagpl|affero", re.IGNORECASE)),
    ("GPL", re.compile(r"\bgpl|(?<!lesser )general public licen[cs]e", re.IGNORECASE)),
    (
        "non-commercial",
        re.compile(
            r"non[\s_-]*commercial|\bcc[\s_-]*by[\s_-]*nc|-nc\b|\bnc-|research[\s_-]+(use[\s_-]+)?only", re.IGNORECASE
        ),
    ),
    ("field-of-use", re.compile(r"\bpml\b|\brail\b|openrail|dinov3", re.IGNORECASE)),
)


class LicenceError(Error):
    """A model's lineage carries a licence that would bind its user."""

    code = "model_licence"


def restriction(licence: str) -> str | None:
    """Why a licence is refused.

    Args:
        licence: SPDX name or free text.

    Returns:
        name of the restriction, such as "AGPL" or "non-commercial"; None when the licence is acceptable.
    """
    return next((name for name, pattern in _RESTRICTED if pattern.search(licence)), None)


def licences_of(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every licence named anywhere inside a value.

    Args:
        field: name of the value, for the message.
        value: text, or mappings and lists of such; a text counts when its key contains "licence" or "license".

    Yields:
        (path of the field, text).
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from licences_of(f"{field}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from licences_of(field, inner)
    elif isinstance(value, str) and re.search("licen[cs]e", field, re.IGNORECASE):
        yield field, value


def refuse_restricted(named: Mapping[str, Any], *, model: str) -> None:
    """Refuse a model whose lineage is restricted.

    Args:
        named: the values that may hold licences, by field name.
        model: name of the model, for the message.

    Raises:
        LicenceError: some licence is restricted; the message names each.
    """
    found = [
        f"{path} is {text!r} ({why})"
        for field, value in named.items()
        for path, text in licences_of(field, value)
        if (why := restriction(text)) is not None
    ]
    if found:
        raise LicenceError(
            f"model {model!r} is refused: {'; '.join(found)}",
            hint="use a permissively licensed model, or pass --allow-restricted-licence if its terms suit you",
        )
