"""Hugging Face folders: safetensors or no weights, static graphs, raw heads, licences from the README."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from fleetsight.accel.sources.eager import eager_answers
from fleetsight.accel.sources.hub_folder import find_folder
from fleetsight.accel.sources.huggingface import huggingface_source
from fleetsight.accel.sources.source import SourceError
from fleetsight.accel.targets import onnxruntime
from fleetsight.accel.targets.options import Options

RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 4}
VIT: dict[str, Any] = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 16,
}


def folder_of(path: Path, config: dict[str, object], *, head: str = "ForImageClassification") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    name = {"resnet": "ResNet", "vit": "ViT"}.get(str(config["model_type"]), "Other")
    (path / "config.json").write_text(json.dumps(config | {"architectures": [name + head]}))
    return path


def test_a_config_alone_gives_random_weights_that_are_always_the_same_and_says_so(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "resnet-tiny", RESNET | {"image_size": 32})
    source = huggingface_source(folder)
    assert not source.is_trained
    assert "random, seed 0" in source.lineage["weights"]
    assert (source.name, source.answer, source.example[0].shape) == ("resnet-tiny", "classes", (1, 3, 32, 32))
    assert source.graph().sha256 == huggingface_source(folder).graph().sha256


def test_a_graph_is_static_and_answers_what_eager_answers(tmp_path: Path) -> None:
    source = huggingface_source(folder_of(tmp_path / "vit", VIT))
    graph = source.graph()
    assert graph.outputs[0].shape == (1, 2)
    kinds = {node.op_type for node in onnx.load_from_string(graph.onnx).graph.node}
    assert not kinds & {"Shape", "Loop", "If", "NonZero"}
    onnxruntime.compile(source, Options(), folder=tmp_path)
    session = onnxruntime.load(tmp_path)
    np.testing.assert_allclose(
        session.run(*source.example)[0], eager_answers(source, [source.example])[0][0], atol=1e-5
    )
    session.close()


def test_an_open_batch_stays_open(tmp_path: Path) -> None:
    assert huggingface_source(folder_of(tmp_path / "vit", VIT), batch=None).graph().has_open_batch


def test_safetensors_are_read_and_their_bytes_are_in_the_digest(tmp_path: Path) -> None:
    import transformers

    folder = folder_of(tmp_path / "vit", VIT, head="Model")
    random = huggingface_source(folder)
    transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(folder)
    trained = huggingface_source(folder)
    assert trained.is_trained
    assert trained.answer == "vector"
    assert trained.weights_sha256 != random.weights_sha256
    assert trained.graph().outputs[0].shape == (1, 16)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pickled", RESNET)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(SourceError, match="pickles") as caught:
        huggingface_source(folder)
    assert "safetensors" in caught.value.hint


@pytest.mark.parametrize(("kind", "said"), [("blip", "several parts"), ("sam", "several parts"), ("bert", "known are")])
def test_models_of_several_parts_and_unknown_ones_name_the_way_out(tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        huggingface_source(folder_of(tmp_path / kind, {"model_type": kind}))
    assert caught.value.hint


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SourceError, match="not JSON"):
        huggingface_source(tmp_path)


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("**Licence.** MIT, as its source.", "MIT"),
        ("nothing", "unstated"),
        ("---\nlicense: cc-by-nc-4.0\n---", "cc-by-nc-4.0"),
    ],
)
def test_the_licence_comes_from_the_readme(tmp_path: Path, readme: str, licence: str) -> None:
    folder = folder_of(tmp_path, RESNET)
    (folder / "README.md").write_text(readme)
    assert huggingface_source(folder).licence == licence
    assert huggingface_source(folder, licence="MIT-0").licence == "MIT-0"


def test_a_folder_without_a_config_is_none(tmp_path: Path) -> None:
    assert find_folder(str(tmp_path)) is None
    assert find_folder("just-a-name") is None


def test_public_backbones_prepare_pictures_as_they_were_trained(shared_dir: Path) -> None:
    folder = shared_dir / "models" / "mobilenet_v2_imagenet"
    if not folder.is_dir():
        pytest.skip(f"needs the public weights in {folder}")
    source = huggingface_source(folder)
    assert source.prepare is not None
    white = source.prepare(np.full((50, 80, 3), 255, np.uint8))[0]
    assert white.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(white, 1.0)
    assert source.licence == "Apache-2.0"
    assert source.is_trained
