import json
import os
import pickle
import zipfile
from pathlib import Path

import onnx
import pytest

from fleetsight.accel.card import CardError
from fleetsight.accel.licence import LicenceError
from fleetsight.accel.portable import CARD_BYTES_MAX, FILES_MAX, ModelError, PortableModel
from fleetsight.accel.wire import OnnxError
from tests.accel.test_onnx_file import outside
from tests.accel.tiny_models import (
    CELLS,
    TinyHead,
    detector_card,
    embedder_card,
    embedder_onnx,
    save_detector,
    save_embedder,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_detector(tmp_path / "store" / "tiny").folder


def test_a_saved_model_loads_with_the_same_card_and_bytes(folder: Path) -> None:
    model = PortableModel.load(folder)
    assert model.onnx == TinyHead().onnx()
    assert model.card.labels == ("product", "hand")
    assert model.input_shape == (1, 3, 64, 96)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.onnx"]
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_changed_model_file_is_refused_with_both_digests(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(ModelError, match="SHA-256") as caught:
        PortableModel.load(folder)
    assert json.loads((folder / "card.json").read_text())["sha256"] in caught.value.message


@pytest.mark.parametrize("name", ["card.json", "model.onnx"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"has no {name}"):
        PortableModel.load(folder)


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    for path in (folder / "model.onnx", folder / "nothing"):
        with pytest.raises(ModelError, match="not a folder"):
            PortableModel.load(path)


@pytest.mark.parametrize(
    "name", ["weights.pt", "model.pkl", "pytorch_model.bin", "x.PTH", "a.joblib", "run.py", "x.so"]
)
def test_files_that_could_run_code_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(ModelError, match="does not belong"):
        PortableModel.load(folder)


def test_texts_and_pictures_may_lie_beside_the_model(folder: Path) -> None:
    for name in ("README.md", "LICENSE", "report.json", "curve.png"):
        (folder / name).write_text("x")
    assert PortableModel.load(folder).name == "tiny"


@pytest.mark.parametrize("content", [pickle.dumps([1, 2], protocol=p) for p in range(2, 6)] + [b"PK\x03\x04zip"])
def test_a_pickle_named_model_onnx_is_refused_as_one(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelError, match="pickle"):
        PortableModel.save(tmp_path / "m", content, card=detector_card())
    assert list(tmp_path.iterdir()) == []


def test_a_zip_file_such_as_torch_save_writes_is_refused(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps({}))
    with pytest.raises(ModelError, match="pickle"):
        PortableModel.save(tmp_path / "m", tmp_path / "w.zip", card=detector_card())


def test_links_that_lead_out_are_refused_and_links_inside_are_not(tmp_path: Path, folder: Path) -> None:
    (folder / "inside.md").symlink_to("card.json")
    assert PortableModel.load(folder).name == "tiny"
    (folder / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(ModelError, match="leads out"):
        PortableModel.load(folder)


def test_a_folder_reached_through_a_link_is_fine(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert PortableModel.load(tmp_path / "link").name == "tiny"


def test_a_named_pipe_is_refused_and_never_waited_for(folder: Path) -> None:
    (folder / "card.json").unlink()
    os.mkfifo(folder / "card.json")
    with pytest.raises(ModelError, match="plain file"):
        PortableModel.load(folder)


def test_folders_inside_and_crowds_of_files_are_refused(folder: Path) -> None:
    (folder / "sub").mkdir()
    with pytest.raises(ModelError, match="not a plain file"):
        PortableModel.load(folder)
    (folder / "sub").rmdir()
    for number in range(FILES_MAX):
        (folder / f"{number}.txt").touch()
    with pytest.raises(ModelError, match="at most"):
        PortableModel.load(folder)


def test_an_oversize_card_is_refused(folder: Path) -> None:
    with (folder / "card.json").open("ab") as stream:
        stream.truncate(CARD_BYTES_MAX + 1)
    with pytest.raises(ModelError, match="larger than"):
        PortableModel.load(folder)


def test_an_oversize_model_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetsight.accel.portable.MODEL_BYTES_MAX", 100)
    with pytest.raises(ModelError, match="larger than 100"):
        PortableModel.load(folder)


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(TinyHead().onnx())
    model.graph.initializer.append(outside("w"))
    with pytest.raises(ModelError, match="outside itself: w"):
        PortableModel.save(tmp_path / "m", model.SerializeToString(), card=detector_card())


def test_text_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(OnnxError):
        PortableModel.save(tmp_path / "m", b"#!/bin/sh", card=detector_card())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size_wh": (64, 64)}, "input"),
        ({"labels": ("one",)}, "1 labels"),
        ({"decoder": "yolox"}, "'yolox'"),
        ({"strides": (8, 16)}, "decoder"),
    ],
)
def test_a_card_that_does_not_fit_the_model_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PortableModel.save(tmp_path / "m", TinyHead().onnx(), card=detector_card(**change))


def test_a_detector_is_no_embedder_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\(1, d\)"):
        PortableModel.save(tmp_path / "a", TinyHead().onnx(), card=embedder_card(input_size_wh=(96, 64)))
    with pytest.raises(ModelError, match="decoder"):
        PortableModel.save(tmp_path / "b", embedder_onnx(32), card=detector_card(input_size_wh=(32, 32)))


def test_restricted_licences_are_refused_unless_allowed(tmp_path: Path) -> None:
    card = detector_card(lineage={"weights_licence": "AGPL-3.0"})
    with pytest.raises(LicenceError, match="AGPL"):
        PortableModel.save(tmp_path / "m", TinyHead().onnx(), card=card)
    PortableModel.save(tmp_path / "m", TinyHead().onnx(), card=card, allow_restricted_licence=True)
    with pytest.raises(LicenceError, match="AGPL"):
        PortableModel.load(tmp_path / "m")
    assert PortableModel.load(tmp_path / "m", allow_restricted_licence=True).card.licence == "Apache-2.0"


def test_a_licence_inside_the_onnx_file_counts(tmp_path: Path) -> None:
    model = onnx.load_from_string(TinyHead().onnx())
    model.metadata_props.add(key="license", value="AGPL-3.0 License (https://ultralytics.com/license)")
    with pytest.raises(LicenceError, match="ONNX metadata"):
        PortableModel.save(tmp_path / "m", model.SerializeToString(), card=detector_card())


def test_a_model_is_never_written_over_another(folder: Path) -> None:
    with pytest.raises(ModelError, match="exists already"):
        save_detector(folder)


def test_a_wrong_card_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(CardError):
        save_detector(tmp_path / "m", pad_value=-1)
    with pytest.raises(ModelError):
        save_detector(tmp_path / "m", labels=("a", "b", "c"))
    assert list(tmp_path.iterdir()) == []


def test_an_embedder_loads(tmp_path: Path) -> None:
    assert save_embedder(tmp_path / "e").facts.outputs[0].shape == (1, 5)


@pytest.mark.parametrize(
    ("image_wh", "size_wh"),
    [
        ((640, 360), (96, 64)),
        ((960, 320), (96, 32)),
        ((320, 640), (32, 64)),
        ((64, 64), (64, 64)),
        ((1, 999), (32, 64)),
    ],
)
def test_trimming_keeps_what_the_picture_covers(
    tmp_path: Path, image_wh: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    model = save_detector(tmp_path / "m")
    trimmed = model.trimmed(image_wh)
    assert trimmed.card.input_size_wh == size_wh
    assert (trimmed is model) == (size_wh == (96, 64))


def test_a_model_that_is_not_resizable_is_not_trimmed(tmp_path: Path) -> None:
    model = save_detector(tmp_path / "m", resizable=False)
    assert model.trimmed((960, 320)) is model
    embedder = save_embedder(tmp_path / "e")
    assert embedder.trimmed((960, 320)) is embedder
    with pytest.raises(ModelError, match="no detector"):
        embedder.resized((32, 32))


def test_a_resized_model_has_its_own_digest_and_leaves_the_folder_alone(folder: Path) -> None:
    model = PortableModel.load(folder)
    resized = model.resized((64, 32))
    assert resized.card.sha256 != model.card.sha256
    assert resized.facts.outputs[0].shape == (1, 8 * 4 + 4 * 2 + 2, 6)
    assert PortableModel.load(folder).facts.outputs[0].shape == (1, CELLS, 6)
    with pytest.raises(CardError, match="multiple"):
        model.resized((50, 32))
