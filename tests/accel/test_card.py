import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.accel.card import CardError, format_card, parse_card
from tests.accel.tiny_models import detector_card, embedder_card

WRONG = [
    ("name", "Capital"),
    ("name", "../up"),
    ("name", ""),
    ("name", "x" * 65),
    ("task", "classify"),
    ("task", ["detect"]),
    ("decoder", "ssd"),
    ("layout", "NHWC"),
    ("channel_order", "GRB"),
    ("pad_place", "left"),
    ("pad_value", 256),
    ("pad_value", 1.5),
    ("pad_value", True),
    ("input_size_wh", [96]),
    ("input_size_wh", [96, 100_000]),
    ("input_size_wh", "96x64"),
    ("input_size_wh", [100, 64]),
    ("labels", []),
    ("labels", ["a", "a"]),
    ("labels", ["a", " "]),
    ("labels", [["a"]]),
    ("labels", "a"),
    ("licence", ""),
    ("licence", None),
    ("lineage", "somewhere"),
    ("metrics", []),
    ("scale", 0),
    ("scale", "1"),
    ("mean", [0, 0]),
    ("mean", "abc"),
    ("std", [1, 1, 0]),
    ("std", 3.0),
    ("strides", [8, 0]),
    ("strides", []),
    ("resizable", 1),
    ("sha256", "12"),
    ("decoder", "none"),
]


def fields_of_card() -> dict[str, object]:
    return dict(json.loads(format_card(detector_card(sha256="0" * 64))))


def test_a_card_reads_back_as_it_was_written() -> None:
    for card in (detector_card(metrics={"ap50": 0.5}, sha256="ab" * 32), embedder_card(mean=(0.5, 0.4, 0.3))):
        assert parse_card(format_card(card)) == card


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_names_its_field(name: str, value: object) -> None:
    with pytest.raises(CardError) as caught:
        parse_card(json.dumps(fields_of_card() | {name: value}))
    assert name in caught.value.message or "detector needs" in caught.value.message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_must_be_finite(number: str) -> None:
    text = json.dumps(fields_of_card()).replace('"scale": 0.00392156862745098', f'"scale": {number}')
    with pytest.raises(CardError, match="scale"):
        parse_card(text)


def test_an_unknown_field_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(CardError, match=r"'licens' is unknown \(did you mean 'licence'"):
        parse_card(json.dumps(fields_of_card() | {"licens": "MIT"}))
    with pytest.raises(CardError, match="there is: name"):
        parse_card(json.dumps(fields_of_card() | {"zzz": 1}))


@pytest.mark.parametrize("name", sorted(fields_of_card()))
def test_every_field_must_be_there(name: str) -> None:
    fields = fields_of_card()
    del fields[name]
    with pytest.raises(CardError, match=name):
        parse_card(json.dumps(fields))


def test_a_field_must_not_stand_twice() -> None:
    with pytest.raises(CardError, match="twice"):
        parse_card('{"format": 1, "name": "a", "name": "b"}')


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"card"', b"\xff\xfe\x00"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(CardError):
        parse_card(text)


def test_another_format_is_refused() -> None:
    with pytest.raises(CardError, match="format"):
        parse_card(json.dumps(fields_of_card() | {"format": 2}))


@pytest.mark.parametrize("change", [{"labels": ("a",)}, {"strides": (8,)}, {"decoder": "yolox"}])
def test_an_embedder_has_no_head(change: dict[str, object]) -> None:
    with pytest.raises(CardError, match="embedder"):
        embedder_card(**change)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_any_value_in_any_field_gives_a_card_or_a_card_error(value: object) -> None:
    fields = fields_of_card()
    for name in fields:
        try:
            parse_card(json.dumps(fields | {name: value}))
        except CardError:
            continue
