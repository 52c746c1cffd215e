"""Bad model folders, given to the command that settles: refused with the reason, and nothing in them is ever run."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetsight.accel.bundled import bundled_folder
from fleetsight.apps.cooler.models import DETECTOR
from tests.apps.cooler.bad_clips import command, good_images, write_images


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A sound copy of the detector that ships."""
    return Path(shutil.copytree(bundled_folder() / DETECTOR, tmp_path / "model"))


@pytest.fixture
def short_clip(tmp_path: Path) -> Path:
    return write_images(tmp_path / "short.mp4", good_images()[:5])


def replace_weights(folder: Path, content: bytes) -> None:
    """Put other bytes in the place of the weights, with a card that vouches for them."""
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "model.onnx").write_bytes(content)


def refusal_of(folder: Path, clip: Path, *, hinted: bool = True) -> str:
    """What the command says on stderr when it refuses a model folder; `hinted` asks for a way out as well."""
    done = command(clip, "--skus", "product", "--model", folder)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.startswith("error[model")
    assert "\nhint: " in done.stderr or not hinted
    return str(done.stderr)


def test_a_sound_model_folder_is_taken(model_folder: Path, short_clip: Path) -> None:
    done = command(short_clip, "--skus", "product", "--model", model_folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frames"] == 5


def test_weights_that_are_not_those_of_the_card_are_refused(model_folder: Path, short_clip: Path) -> None:
    content = bytearray((model_folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (model_folder / "model.onnx").write_bytes(content)
    assert "SHA-256" in refusal_of(model_folder, short_clip)


@pytest.mark.parametrize("name", ["card.json", "model.onnx"])
def test_a_model_folder_without_its_card_or_its_weights_is_refused(
    model_folder: Path, short_clip: Path, name: str
) -> None:
    (model_folder / name).unlink()
    assert f"has no {name}" in refusal_of(model_folder, short_clip)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"name": 5', "\0\1\2", "[" * 100_000])
def test_a_card_that_is_none_is_refused(model_folder: Path, short_clip: Path, card: str) -> None:
    (model_folder / "card.json").write_text(card)
    assert "error[model_card]" in refusal_of(model_folder, short_clip, hinted=False)


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_named_model_onnx_is_refused_and_never_loaded(
    tmp_path: Path, model_folder: Path, short_clip: Path, protocol: int
) -> None:
    content = pickle.dumps(Trap(tmp_path / "sprung"), protocol=protocol)
    replace_weights(model_folder, content)
    said = refusal_of(model_folder, short_clip, hinted=protocol >= 2)
    if protocol >= 2:  # the older ones have no mark of their own and are refused as what is no ONNX file
        assert "is a pickle" in said
    assert not (tmp_path / "sprung").exists()
    pickle.loads(content)
    assert (tmp_path / "sprung").exists()  # the trap was armed


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
def test_half_a_model_is_refused_even_when_its_card_vouches_for_it(
    model_folder: Path, short_clip: Path, percent: int
) -> None:
    content = (model_folder / "model.onnx").read_bytes()
    replace_weights(model_folder, content[: len(content) * percent // 100])
    refusal_of(model_folder, short_clip, hinted=False)


def test_a_pickle_beside_the_weights_is_refused(model_folder: Path, short_clip: Path) -> None:
    (model_folder / "weights.pt").write_bytes(pickle.dumps({}))
    assert "never pickles" in refusal_of(model_folder, short_clip)


def test_a_folder_that_does_not_exist_is_refused_without_a_traceback(tmp_path: Path, short_clip: Path) -> None:
    assert "not a folder" in refusal_of(tmp_path / "nothing", short_clip)


def test_the_command_itself_ends_with_two_and_the_reason(model_folder: Path, short_clip: Path) -> None:
    """The same as a user types it, in a process of its own."""
    (model_folder / "card.json").unlink()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "fleetsight",
            "cooler",
            "settle",
            short_clip,
            "--skus",
            "product",
            "--model",
            model_folder,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error[model]: ")
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
