import json
from pathlib import Path

import pytest

from fleetsight.accel import bundled, modelstore
from fleetsight.accel.licence import LicenceError
from fleetsight.accel.modelstore import ACCEPTED_FILE, accept_licence, find_model, list_models
from fleetsight.accel.portable import ModelError, PortableModel
from tests.accel.tiny_models import TinyHead, detector_card, save_detector


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the model `seen`, and a package that ships `shipped`."""
    shipped = tmp_path / "package"
    save_detector(shipped / "shipped", name="shipped")
    monkeypatch.setattr(bundled, "bundled_folder", lambda: shipped)
    monkeypatch.setattr(modelstore, "bundled_folder", lambda: shipped)
    save_detector(tmp_path / "store" / "seen", name="seen")
    return tmp_path / "store"


def test_models_are_found_by_name_and_by_folder(store: Path) -> None:
    assert find_model("seen", store).name == "seen"
    assert find_model("shipped", store).name == "shipped"
    assert find_model(str(store / "seen"), store).name == "seen"
    assert find_model(store / "seen", store / "nowhere").name == "seen"


def test_a_folder_in_the_working_directory_is_found(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store)
    assert find_model("seen", store / "nowhere").name == "seen"


def test_a_misspelt_name_is_an_error_with_a_suggestion(store: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'seen'"):
        find_model("sean", store)
    with pytest.raises(ModelError, match="there are: shipped, seen"):
        find_model("zzz", store)


@pytest.mark.parametrize("name", ["..", ".", "", "~"])
def test_names_do_not_lead_out_of_the_store(store: Path, name: str) -> None:
    with pytest.raises(ModelError):
        find_model(name, store)


def test_the_list_shows_origin_and_damage(store: Path) -> None:
    save_detector(store / "worn", name="worn")
    (store / "worn" / "model.onnx").write_bytes(b"x")
    found = {stored.name: stored for stored in list_models(store)}
    assert list(found) == ["shipped", "seen", "worn"]
    assert found["shipped"].origin == "bundled"
    assert found["seen"].origin == "imported"
    assert found["seen"].problem == ""
    assert found["worn"].model is None
    assert "SHA-256" in found["worn"].problem


def test_an_absent_store_is_empty(store: Path) -> None:
    assert [stored.name for stored in list_models(store / "nowhere")] == ["shipped"]


def test_a_folder_cannot_accept_its_own_terms(store: Path) -> None:
    card = detector_card(name="bound", licence="CC-BY-NC-4.0")
    model = PortableModel.save(store / "bound", TinyHead().onnx(), card=card, allow_restricted_licence=True)
    with pytest.raises(LicenceError, match="non-commercial"):
        find_model("bound", store)
    accept_licence(store, model.card.sha256)
    accept_licence(store, "0" * 64)
    assert find_model("bound", store).name == "bound"
    assert len(json.loads((store / ACCEPTED_FILE).read_text())) == 2


def test_a_damaged_list_of_acceptances_is_told(store: Path) -> None:
    (store / ACCEPTED_FILE).write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        find_model("seen", store)


def test_bundled_models_load_by_name(store: Path) -> None:
    assert bundled.bundled_names() == ("shipped",)
    assert bundled.bundled_model("shipped").name == "shipped"
    with pytest.raises(ModelError, match="there are: shipped"):
        bundled.bundled_model("seen")
