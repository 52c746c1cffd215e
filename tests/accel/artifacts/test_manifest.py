"""A manifest comes back as it went, and a signature holds for one key and one text."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.manifest import (
    ArtifactError,
    check_signature,
    parse_manifest,
    public_key_b64,
    sign_manifest,
)
from tests.accel.artifacts.made_up import manifest


def text_of(**changes: object) -> bytes:
    return json.dumps(manifest(**changes).as_json()).encode()


def test_a_manifest_comes_back_as_it_went() -> None:
    assert parse_manifest(text_of(batch=None)) == manifest(batch=None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 9}, "format"),
        ({"precison": "f32"}, "precison"),
        ({"batch": 0}, "batch"),
        ({"batch": True}, "batch"),
        ({"files": {"a": 1}}, "files"),
        ({"preprocess": "gpu"}, "preprocess"),
        ({"name": ""}, "name"),
        ({"candidates": {}}, "candidates"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        parse_manifest(json.dumps(json.loads(text_of()) | change).encode())


def test_a_missing_field_is_named() -> None:
    raw = json.loads(text_of())
    del raw["parity"]
    with pytest.raises(ArtifactError, match="lacks 'parity'"):
        parse_manifest(json.dumps(raw).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ArtifactError, match="JSON"):
        parse_manifest(text)


def test_a_signature_holds_for_its_key_and_its_text_alone(key: Ed25519PrivateKey) -> None:
    signature = sign_manifest(manifest(), key).encode()
    trusted = {public_key_b64(key)}
    check_signature(text_of(), signature, trusted=trusted)
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        check_signature(text_of(precision="int8"), signature, trusted=trusted)
    stranger = public_key_b64(Ed25519PrivateKey.generate())
    with pytest.raises(ArtifactError, match="not trusted"):
        check_signature(text_of(), signature, trusted={stranger})


def test_a_signature_that_only_names_a_trusted_key_is_refused(key: Ed25519PrivateKey) -> None:
    forged = json.loads(sign_manifest(manifest(), Ed25519PrivateKey.generate()))
    forged["public_key"] = public_key_b64(key)
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        check_signature(text_of(), json.dumps(forged).encode(), trusted={public_key_b64(key)})


def test_a_model_without_a_card_says_that_nobody_can_read_it() -> None:
    with pytest.raises(ArtifactError, match="no card"):
        manifest().read_card()
