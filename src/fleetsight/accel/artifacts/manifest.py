"""What an artifact says about itself, and the signature under it.

`manifest.json` holds the manifest, `manifest.sig` a detached Ed25519 signature over its canonical JSON and the public
half of the key. Who signs is a matter of trust: a signature by a key that the reader does not trust is no signature.
"""

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fleetsight.accel.card import Card, parse_card_fields
from fleetsight.errors import Error
from fleetsight.store.canonical import canonical
from fleetsight.store.fields import check_names

FORMAT = 1
"""Version of the manifest's schema."""


class ArtifactError(Error):
    """An artifact is missing, damaged, changed, or signed by nobody we trust."""

    code = "artifact"


@dataclass(frozen=True)
class Manifest:
    """What an artifact is and where it comes from.

    Attributes:
        name: name of the model.
        target: the target it was compiled for.
        compiler: name and version of the compiler with the abilities of the chip it used.
        chip: the chip it was compiled and proved on.
        precision: arithmetic inside.
        batch: size of a batch; None where it is open.
        flags: the target's own.
        source: "name", "weights_sha256", "graph_sha256", "licence", "lineage", "is_trained".
        parity: what the gates measured (`Parity.as_json`); with "unproved" the reason why they measured nothing.
        preprocess: "host": the network eats normalised floats; "fused": it eats (1, h, w, 3) uint8 in the card's colours.
        card: fields of the card, for detectors and embedders of ours; None otherwise.
        candidates: what `--precision auto` tried, one object each; empty without it.
        key: digest of everything it was made from; its name in the cache.
        made_at: UTC, ISO 8601.
        files: SHA-256 by path below `compiled/`.
    """

    name: str
    target: str
    compiler: str
    chip: str
    precision: str
    batch: int | None
    flags: Mapping[str, str]
    source: Mapping[str, Any]
    parity: Mapping[str, Any]
    preprocess: Literal["host", "fused"]
    card: Mapping[str, Any] | None
    candidates: tuple[Mapping[str, Any], ...]
    key: str
    made_at: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def unproved(self) -> str:
        """Why nothing was compared with float32; empty when it was."""
        return str(self.parity.get("unproved", ""))

    def as_json(self) -> dict[str, Any]:
        """The manifest as plain JSON.

        Returns:
            an object that `parse_manifest` reads back.
        """
        return {"format": FORMAT, **asdict(self), "candidates": [dict(row) for row in self.candidates]}

    def read_card(self) -> Card:
        """The card that travels with the artifact.

        Returns:
            the card, every field checked.

        Raises:
            ArtifactError: there is none.
            CardError: a field is wrong.
        """
        if self.card is None:
            raise ArtifactError(
                f"artifact {self.name!r} carries no card: nothing says how to read its answer",
                hint="compile a model that has one: fleetsight model list",
            )
        return parse_card_fields(dict(self.card))


def parse_manifest(text: bytes) -> Manifest:
    """Read a manifest.

    Args:
        text: content of `manifest.json`.

    Returns:
        the manifest.

    Raises:
        ArtifactError: the text is not JSON, or a field is unknown, missing or of another kind.
    """
    raw = _parse_object(text)
    if raw.pop("format", None) != FORMAT:
        raise ArtifactError(f"manifest field 'format' must be {FORMAT}", hint="compile the model again")
    known = [entry.name for entry in fields(Manifest)]
    check_names(raw, known, error=ArtifactError, what="manifest", hint="compile the model again")
    wrong = [name for name in known if not _KINDS.get(name, _is_text)(raw[name])]
    if wrong:
        raise ArtifactError(f"manifest field {wrong[0]!r} is {raw[wrong[0]]!r}", hint="compile the model again")
    return Manifest(**(raw | {"candidates": tuple(raw["candidates"])}))


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> str:
    """Sign a manifest.

    Args:
        manifest: with the digests of its files.
        key: the signer's.

    Returns:
        text of `manifest.sig`.
    """
    signature = key.sign(_signed_bytes(manifest.as_json()))
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return json.dumps({"public_key": public, "signature": base64.b64encode(signature).decode()}, indent=1) + "\n"


def check_signature(text: bytes, signature: bytes, *, trusted: Collection[str]) -> None:
    """Check who signed a manifest, before a word of it is believed.

    Args:
        text: content of `manifest.json`.
        signature: content of `manifest.sig`.
        trusted: public keys, 32 bytes each in standard base64.

    Raises:
        ArtifactError: it is not signed, signed by a key that is not trusted, or was changed since.
    """
    raw = _parse_object(signature)
    public = raw.get("public_key")
    if public not in trusted:
        raise ArtifactError(
            f"the artifact is signed by {public!r}, which is not trusted",
            hint="compile it here, or name that key in the setting artifact_keys if you know whose it is",
        )
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(str(public), validate=True))
        key.verify(base64.b64decode(str(raw.get("signature")), validate=True), _signed_bytes(_parse_object(text)))
    except (InvalidSignature, ValueError) as error:
        raise ArtifactError(
            "the manifest was changed after it was signed", hint="fetch the artifact again, or compile the model again"
        ) from error


def public_key_b64(key: Ed25519PrivateKey) -> str:
    """The public half of a key, as manifests name it.

    Args:
        key: the private key.

    Returns:
        32 bytes in standard base64.
    """
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _signed_bytes(value: dict[str, Any]) -> bytes:
    return canonical(value).encode("utf-8")


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the manifest is not JSON: {error}", hint="compile the model again") from error
    if not isinstance(value, dict):
        raise ArtifactError("the manifest holds no JSON object", hint="compile the model again")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())


_KINDS: dict[str, Callable[[Any], bool]] = {
    "batch": lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and v >= 1),
    "flags": _are_texts,
    "files": _are_texts,
    "source": _is_object,
    "parity": _is_object,
    "preprocess": lambda v: v in {"host", "fused"},
    "card": lambda v: v is None or isinstance(v, dict),
    "candidates": lambda v: isinstance(v, list) and all(isinstance(row, dict) for row in v),
}
