"""A model of several parts is compiled part by part, proved, signed as one artifact, and opened without torch."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.artifacts.cache import ArtifactCache, ForbiddenError
from fleetsight.accel.artifacts.manifest import ArtifactError
from fleetsight.accel.parts import blip
from fleetsight.accel.parts.bundle import CompiledPipeline, PipelineFile, is_pipeline
from fleetsight.accel.parts.flow import CompiledRecipe, RecipeRequest, compile_recipe, drop_in
from fleetsight.accel.parts.original import load_original
from fleetsight.accel.parts.part import Agreement, Examples, PartError
from fleetsight.accel.session import TargetError
from fleetsight.accel.sources.source import SourceError
from tests.accel.parts.tiny_blip import QUESTIONS, examples, images, save_tiny_blip
from tests.accel.parts.tiny_sam import save_tiny_sam
from tests.accel.targets.conftest import standin, with_device

__all__ = ["standin", "with_device"]  # fixtures

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PARTS = ["vision_encoder", "text_encoder", "decoder_memory", "text_decoder", "answer_scorer"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parts")
    save_tiny_blip(path / "blip")
    save_tiny_sam(path / "sam")
    return path


def asked(home: Path, **changes: Any) -> RecipeRequest:
    fields: dict[str, Any] = {"recipe": "blip-vqa", "source": home / "blip", "examples": examples()}
    return RecipeRequest(**(fields | changes))


@pytest.fixture(scope="module")
def compiled(home: Path) -> CompiledRecipe:
    return compile_recipe(asked(home), ArtifactCache(home / "cache", KEY))


def test_parity_is_reported_for_each_part_and_end_to_end(compiled: CompiledRecipe) -> None:
    manifest = compiled.artifact.manifest
    assert not compiled.hit
    assert [part.name for part in compiled.parts] == list(manifest.parity["parts"]) == PARTS
    answers = manifest.parity["answers"]
    assert answers["passed"]
    assert answers["same"] == answers["asked"] == 16
    assert answers["distinct"] >= 5
    for part in manifest.parity["parts"].values():
        assert part["compared"] >= 2
        assert all(figures["cosine"] > 0.99999 for figures in part["outputs"].values())
    assert json.loads(json.dumps(compiled.as_json()))["cache"] == "miss"


def test_a_second_compile_compiles_nothing(home: Path, compiled: CompiledRecipe) -> None:
    cache = ArtifactCache(home / "cache", KEY, forbid_compiling=True)
    again = compile_recipe(asked(home), cache)
    assert again.hit
    assert again.artifact == compiled.artifact
    with pytest.raises(ForbiddenError):
        compile_recipe(asked(home, sizes={"answer_tokens": (5,)}), cache)


def test_only_the_parts_that_are_missing_are_compiled(home: Path, compiled: CompiledRecipe) -> None:
    cache = ArtifactCache(home / "cache", KEY)
    shutil.rmtree(compiled.artifact.folder)
    part = next(part for part in compiled.parts if part.name == "decoder_memory")
    shutil.rmtree(part.artifact.folder)
    again = compile_recipe(asked(home), cache)
    assert not again.hit
    assert [part.name for part in again.parts if not part.hit] == ["decoder_memory"]
    assert cache.made == 2


def test_the_service_answers_without_torch(home: Path, compiled: CompiledRecipe) -> None:
    cv2.imwrite(str(home / "picture.png"), images(2)[1][..., ::-1])
    trusted = ArtifactCache(home / "cache", KEY).trusted
    code = f"""
import sys, cv2, json
from fleetsight.accel.artifacts.artifact import Artifact
from fleetsight.accel.parts.bundle import CompiledPipeline
opened = CompiledPipeline(Artifact.open({str(compiled.artifact.folder)!r}, trusted={list(trusted)!r}), threads=1)
image = cv2.imread({str(home / "picture.png")!r})[..., ::-1]
print(json.dumps(opened.pipeline.ask(image, {list(QUESTIONS)!r})))
opened.close()
assert not {{"torch", "transformers", "onnx"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    model = load_original(blip.RECIPE, home / "blip")
    opened = CompiledPipeline(compiled.artifact, threads=1)
    try:
        wanted = [
            opened.pipeline._words.decode(
                blip.original_answers(
                    model, opened.pipeline, image=images(2)[1], question=question, answers=("yes", "no")
                )[0]
            )
            for question in QUESTIONS
        ]
    finally:
        opened.close()
    assert json.loads(done.stdout) == wanted
    assert len(set(wanted)) > 1


def test_compiled_parts_go_back_into_the_original_and_out_again(home: Path, compiled: CompiledRecipe) -> None:
    model: Any = load_original(blip.RECIPE, home / "blip")
    vision = model.vision_model
    given = {
        "input_ids": torch.tensor([[2, 5, 6, 7, 3]]),
        "pixel_values": torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)),
    }
    before = model.generate(**given, max_new_tokens=10)
    with drop_in(model, blip.RECIPE, artifact=compiled.artifact) as changed:
        assert changed is model
        assert model.vision_model is not vision
        assert torch.equal(before, model.generate(**given, max_new_tokens=10))
    assert model.vision_model is vision
    assert torch.equal(before, model.generate(**given, max_new_tokens=10))


def test_a_changed_part_is_never_loaded(home: Path, compiled: CompiledRecipe, tmp_path: Path) -> None:
    copy = compiled.artifact.copy_to(tmp_path / "copy")
    weights = copy.folder / "compiled" / "vision_encoder" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"vision_encoder/model.bin was changed"):
        Artifact.open(copy.folder, trusted=ArtifactCache(home / "cache", KEY).trusted)


def test_a_fixed_batch_answers_the_same(home: Path, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KEY)
    request = asked(home, target="onnxruntime", batch=3, sizes={"question_tokens": (9, 12)})
    found = compile_recipe(request, cache)
    assert found.artifact.manifest.parity["answers"]["same"] == 16
    assert is_pipeline(found.artifact)
    opened = CompiledPipeline(found.artifact, threads=1)
    assert opened.sessions["text_encoder_9"].inputs[0].shape == (3, 9)
    assert opened.sessions["answer_scorer"].inputs[0].shape == (3, 4)
    opened.close()


@pytest.mark.usefixtures("standin", "with_device")
def test_a_compiler_of_fixed_shapes_takes_every_part(home: Path, tmp_path: Path) -> None:
    """torch_neuronx.trace knows one shape per graph; the stand-in refuses any other, as the real one does."""
    found = compile_recipe(asked(home, target="neuron", batch=2), ArtifactCache(tmp_path, KEY))
    answers = found.artifact.manifest.parity["answers"]
    assert answers["same"] == answers["asked"] == 16
    assert [part.name for part in found.parts] == PARTS


@pytest.mark.usefixtures("standin")
def test_without_the_chip_the_parts_stay_unproved_until_they_are_compiled_at_it(home: Path, tmp_path: Path) -> None:
    from fleetsight.accel.targets import neuron

    cache = ArtifactCache(tmp_path, KEY)
    request = RecipeRequest("sam", home / "sam", target="neuron", batch=1, examples=Examples(images=images(1)))
    with pytest.raises(TargetError, match="no Neuron device here") as caught:
        compile_recipe(request, cache)
    assert "--unproved" in caught.value.hint
    first = compile_recipe(replace(request, may_be_unproved=True), cache)
    assert "no Neuron device here" in first.artifact.manifest.unproved
    assert all(part.artifact.manifest.unproved for part in first.parts)
    made = cache.made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neuron, "probe", lambda: None)
        second = compile_recipe(request, cache)
    assert (second.hit, cache.made) == (True, made)
    assert second.artifact.manifest.unproved == ""
    assert second.artifact.manifest.parity["answers"]["passed"]
    assert not any(part.artifact.manifest.unproved for part in second.parts)


def test_sam_is_compiled_by_the_same_flow(home: Path, tmp_path: Path) -> None:
    request = RecipeRequest("sam", home / "sam", target="onnxruntime", examples=Examples(images=images(2)))
    found = compile_recipe(request, ArtifactCache(tmp_path, KEY))
    answers = found.artifact.manifest.parity["answers"]
    assert answers["same"] == answers["asked"] == answers["distinct"] == 10
    assert [part.name for part in found.parts] == ["image_encoder", "mask_decoder_2", "mask_decoder_3"]


def test_a_part_that_computes_something_else_is_refused_and_not_kept(home: Path, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KEY)
    with pytest.raises(PartError, match=r"part 'vision_encoder' in f32: output 'image_states' has cosine -1.00000"):
        compile_recipe(asked(home, target="null"), cache)
    assert cache.made == 0
    assert not list(tmp_path.glob("*/manifest.json"))


def test_a_whole_that_answers_otherwise_is_refused(
    home: Path, compiled: CompiledRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: Any, **__: Any) -> Agreement:
        return Agreement(passed=False, asked=4, same=1, distinct=3, score_shift=0.4, reasons=("1 of 4 answers",))

    monkeypatch.setattr(blip, "RECIPE", replace(blip.RECIPE, compare=other))
    with pytest.raises(PartError, match=r"1 of 4 answers.*--part-precision [a-z_]+=f32"):
        compile_recipe(asked(home, part_precisions={"vision_encoder": "f32"}), ArtifactCache(home / "cache", KEY))
    assert compiled.parts


def test_auto_keeps_for_each_part_one_that_passes(
    home: Path, compiled: CompiledRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetsight.accel.targets import openvino

    monkeypatch.setattr(openvino, "precisions", lambda: ("f32", "f16"))  # f16 is no arithmetic of most processors
    found = compile_recipe(asked(home, precision="auto"), ArtifactCache(home / "cache", KEY))
    assert {part.precision for part in found.parts} <= {"f32", "f16"}
    assert compiled.artifact.manifest.precision == "f32"


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"recipe": "blip"}, PartError, "did you mean 'blip-vqa'"),
        ({"recipe": "sam"}, PartError, "takes a SamModel"),
        ({"source": "no/such/folder"}, PartError, "is no folder"),
        ({"target": "openvin"}, TargetError, "did you mean 'openvino'"),
        ({"part_precisions": {"vision": "f32"}}, PartError, "parts: answer_scorer"),
        ({"examples": Examples(images=images(1))}, PartError, "never reach text_encoder"),
        ({"sizes": {"answers": (3,)}}, PartError, "has no size 'answers'"),
    ],
)
def test_wrong_requests_name_the_way_out(
    home: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        compile_recipe(asked(home, **changes), ArtifactCache(tmp_path, KEY))


def test_pickled_weights_are_refused(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(home / "blip", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(SourceError, match="pickles"):
        compile_recipe(asked(home, source=folder), ArtifactCache(tmp_path / "cache", KEY))


def test_a_folder_without_weights_is_measured_with_random_ones_and_says_so(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(home / "sam", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    request = RecipeRequest("sam", folder, target="onnxruntime", examples=Examples(images=images(1)))
    found = compile_recipe(request, ArtifactCache(tmp_path / "cache", KEY))
    assert found.artifact.manifest.source["is_trained"] is False
    assert "random" in found.artifact.manifest.source["lineage"]["weights"]


def test_a_pipeline_file_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="holds no pipeline"):
        PipelineFile.load(tmp_path)
    PipelineFile("sam", ("image_encoder",), {}).save(tmp_path)
    assert PipelineFile.load(tmp_path).parts == ("image_encoder",)
    text = (tmp_path / "pipeline.json").read_text(encoding="utf-8")
    for broken in (text.replace('"format": 1', '"format": 9'), text.replace("sam", "som"), "[]", "{"):
        (tmp_path / "pipeline.json").write_text(broken, encoding="utf-8")
        with pytest.raises(PartError):
            PipelineFile.load(tmp_path)
