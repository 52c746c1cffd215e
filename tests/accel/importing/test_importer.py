from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from fleetsight.accel.card import CardError
from fleetsight.accel.importing.importer import ImportModelError, ImportOptions, import_onnx
from fleetsight.accel.licence import UNSTATED, LicenceError
from fleetsight.accel.modelstore import find_model
from fleetsight.accel.portable import ModelError
from fleetsight.accel.wire import OnnxError
from tests.accel.tiny_models import CELLS, LABELS, SIZE_WH, TinyHead, serialise

YOLOX = TinyHead(columns=5 + len(LABELS), sigmoid=True, gain=0.05)


def options(**changes: Any) -> ImportOptions:
    return ImportOptions(**({"name": "tiny", "decoder": "yolox", "labels": LABELS} | changes))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def file_of(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "detector.onnx"
    path.write_bytes(content)
    return path


def head_that_answers(*shape: int | str) -> bytes:
    """A file that declares an answer; it is refused before it would run."""
    return serialise([], [], [1, 3, SIZE_WH[1], SIZE_WH[0]], list(shape))


def test_a_yolox_file_gets_the_familys_normalisation(tmp_path: Path, store: Path) -> None:
    model = import_onnx(file_of(tmp_path, YOLOX.onnx()), options(licence="MIT"), store_dir=store)
    card = model.card
    assert (card.channel_order, card.scale, card.pad_value, card.pad_place) == ("BGR", 1.0, 114, "top_left")
    assert (card.input_size_wh, card.labels, card.licence) == (SIZE_WH, LABELS, "MIT")
    assert card.resizable
    assert card.lineage["source"] == "detector.onnx"
    assert model.folder == store / "tiny"
    assert find_model("tiny", store).card == card
    assert [path.name for path in store.iterdir()] == ["tiny"]


def test_a_licence_nobody_names_is_written_down_as_unstated(tmp_path: Path, store: Path) -> None:
    assert import_onnx(file_of(tmp_path, YOLOX.onnx()), options(), store_dir=store).card.licence == UNSTATED


def test_our_own_head_is_read_as_ours(tmp_path: Path, store: Path) -> None:
    head = TinyHead()
    model = import_onnx(file_of(tmp_path, head.onnx()), options(decoder="fleetsight_dense"), store_dir=store)
    assert model.card.channel_order == "RGB"
    assert model.card.scale == pytest.approx(1 / 255)


def test_an_open_size_must_be_named(tmp_path: Path, store: Path) -> None:
    file = file_of(tmp_path, YOLOX.onnx(open_size=True))
    with pytest.raises(ImportModelError, match="--size"):
        import_onnx(file, options(), store_dir=store)
    assert import_onnx(file, options(size_wh=(64, 32)), store_dir=store).card.input_size_wh == (64, 32)


def test_a_size_the_file_does_not_have_is_refused(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ImportModelError, match="not 64 x 64"):
        import_onnx(file_of(tmp_path, YOLOX.onnx()), options(size_wh=(64, 64)), store_dir=store)


@pytest.mark.parametrize(
    ("shape", "changes", "hint"),
    [
        ((1, CELLS, 7), {"decoder": "fleetsight_dense"}, "fits --decoder yolox"),
        ((1, CELLS, 6), {}, "fits --decoder fleetsight_dense"),
        ((1, CELLS, 25), {}, "20 classes, the labels name 2"),
        ((1, 7, CELLS), {}, "swapped"),
        ((1, 6, 8400), {}, "swapped"),
        ((1, 3 * CELLS, 7), {}, "anchor"),
        ((1, 100, 6), {}, "suppression is inside"),
        ((1, CELLS + 3, 12), {"labels": tuple("abcdefg")}, "number of cells"),
        ((1, 7, 8, 12), {}, "one tensor"),
        ((1, 5, 3), {}, "adr"),
    ],
)
def test_a_head_that_does_not_fit_is_told_what_it_looks_like(
    tmp_path: Path, store: Path, shape: tuple[int, ...], changes: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ImportModelError) as caught:
        import_onnx(file_of(tmp_path, head_that_answers(*shape)), options(**changes), store_dir=store)
    assert hint in caught.value.hint
    assert not store.exists()


def test_several_outputs_are_refused(tmp_path: Path, store: Path) -> None:
    model = onnx.load_from_string(YOLOX.onnx())
    model.graph.output.append(helper.make_tensor_value_info("box", TensorProto.FLOAT, [1, CELLS, 4]))
    with pytest.raises(ImportModelError, match="one output"):
        import_onnx(file_of(tmp_path, model.SerializeToString()), options(), store_dir=store)


@pytest.mark.parametrize(
    ("entry", "message"), [([1, 64, 96, 3], "channels last"), ([4, 3, 64, 96], "one image"), ([1, 3, 64], "one image")]
)
def test_an_input_of_another_layout_is_refused(tmp_path: Path, store: Path, entry: list[Any], message: str) -> None:
    with pytest.raises(ImportModelError, match=message):
        import_onnx(file_of(tmp_path, serialise([], [], entry, [1, CELLS, 7])), options(), store_dir=store)


def test_scores_without_a_sigmoid_are_told(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ModelError, match="needs 0 to 1"):
        import_onnx(file_of(tmp_path, TinyHead(columns=7, gain=0.05).onnx()), options(), store_dir=store)
    assert list(store.iterdir()) == []


def test_boxes_that_are_decoded_already_are_told(tmp_path: Path, store: Path) -> None:
    model = onnx.load_from_string(YOLOX.onnx())
    model.graph.node[-1].output[0] = "small"
    model.graph.initializer.append(helper.make_tensor("gain", TensorProto.FLOAT, [7], [300.0] * 4 + [1.0] * 3))
    model.graph.node.append(helper.make_node("Mul", ["small", "gain"], ["output"]))
    with pytest.raises(ModelError, match="look like pixels"):
        import_onnx(file_of(tmp_path, model.SerializeToString()), options(), store_dir=store)


def test_a_network_with_its_size_built_in_is_not_called_resizable(tmp_path: Path, store: Path) -> None:
    model = onnx.load_from_string(YOLOX.onnx())
    for node in model.graph.node:
        if node.op_type == "Reshape":
            node.input[1] = f"{node.input[1]}_{node.output[0]}"
            cells = {"flat8": 96, "flat16": 24, "flat32": 6}[node.output[0]]
            model.graph.initializer.append(helper.make_tensor(node.input[1], TensorProto.INT64, [3], [1, 7, cells]))
    stored = import_onnx(file_of(tmp_path, model.SerializeToString()), options(), store_dir=store)
    assert not stored.card.resizable


def test_a_name_is_taken_only_once_unless_replacing_is_asked_for(tmp_path: Path, store: Path) -> None:
    first = import_onnx(file_of(tmp_path, YOLOX.onnx()), options(), store_dir=store)
    file = file_of(tmp_path, TinyHead(columns=7, sigmoid=True, seed=5, gain=0.05).onnx())
    with pytest.raises(ImportModelError, match="already"):
        import_onnx(file, options(), store_dir=store)
    assert find_model("tiny", store).card == first.card
    import_onnx(file, options(), store_dir=store, replace_existing=True)
    assert find_model("tiny", store).card.sha256 != first.card.sha256


@pytest.mark.parametrize("name", ["../escape", "/tmp/x", "Capital", ".hidden", "a/b", ""])
def test_names_that_are_paths_are_refused(tmp_path: Path, store: Path, name: str) -> None:
    with pytest.raises(CardError, match="name"):
        import_onnx(file_of(tmp_path, YOLOX.onnx()), options(name=name), store_dir=store)
    assert not store.exists()


def test_a_restricted_licence_is_refused_or_accepted_once_and_remembered(tmp_path: Path, store: Path) -> None:
    file = file_of(tmp_path, YOLOX.onnx())
    with pytest.raises(LicenceError, match="AGPL"):
        import_onnx(file, options(licence="AGPL-3.0"), store_dir=store)
    import_onnx(file, options(licence="AGPL-3.0"), store_dir=store, allow_restricted_licence=True)
    assert find_model("tiny", store).card.licence == "AGPL-3.0"
    with pytest.raises(LicenceError):
        find_model(store / "tiny", tmp_path / "another store")


def test_files_that_are_missing_or_no_onnx_are_refused(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        import_onnx(tmp_path / "nothing.onnx", options(), store_dir=store)
    with pytest.raises(ModelError, match="pickle"):
        import_onnx(file_of(tmp_path, b"\x80\x02]q\x00."), options(), store_dir=store)
    with pytest.raises(OnnxError):
        import_onnx(file_of(tmp_path, b""), options(), store_dir=store)
