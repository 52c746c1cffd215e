"""A torch module by import path becomes a graph that answers the same, with a digest that follows its weights."""

import numpy as np
import pytest

from fleetsight.accel.proving.parity import Gates, compare
from fleetsight.accel.proving.proof import reference_of
from fleetsight.accel.sources.eager import eager_answers
from fleetsight.accel.sources.source import SourceError
from fleetsight.accel.sources.torch_module import is_import_path, torch_module_source
from tests.accel.proved import Told, pictures

TOYS = "tests.accel.sources.toy_modules"


def test_the_graph_has_the_modules_inputs_and_outputs() -> None:
    source = torch_module_source(f"{TOYS}:pair", batch=2, licence="MIT")
    graph = source.graph()
    assert [spec.shape for spec in graph.inputs] == [(2, 3, 16, 16)]
    assert [spec.shape for spec in graph.outputs] == [(2, 4, 7, 7), (2,)]
    assert (source.licence, source.name) == ("MIT", "toy_modules-pair")
    assert torch_module_source(f"{TOYS}:pair", batch=None).graph().has_open_batch


def test_the_reference_is_the_module_as_written() -> None:
    source = torch_module_source(f"{TOYS}:pair")
    gates = Gates(
        {}, pictures(), inputs=tuple((np.random.default_rng(s).random((1, 3, 16, 16), np.float32),) for s in (1, 2))
    )
    reference = reference_of(source, gates)
    assert reference.name == "torch eager f32"
    np.testing.assert_allclose(reference.answers[1][0], eager_answers(source, gates.inputs)[1][0])


def test_the_digest_follows_weights_and_batch() -> None:
    digests = {
        torch_module_source(f"{TOYS}:pair").weights_sha256,
        torch_module_source(f"{TOYS}:pair", batch=4).weights_sha256,
        torch_module_source(f"{TOYS}:other_weights").weights_sha256,
    }
    assert len(digests) == 3
    assert torch_module_source(f"{TOYS}:pair").weights_sha256 in digests


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("nothing", "AttributeError"),
        ("broken", "weights are elsewhere"),
        ("without_examples", "expected"),
        ("batch_of_two", "batch of 1|shapes"),
    ],
)
def test_what_is_no_factory_says_why(factory: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        torch_module_source(f"{TOYS}:{factory}")


def test_an_operator_that_onnx_lacks_is_a_clear_error() -> None:
    with pytest.raises(SourceError, match="cannot be exported to ONNX"):
        torch_module_source(f"{TOYS}:not_in_onnx").graph()


@pytest.mark.parametrize(("text", "is_one"), [("a.b:c", True), ("a:b", True), ("C:/model.onnx", False), ("a.b", False)])
def test_import_paths_are_told_from_files(text: str, is_one: bool) -> None:
    assert is_import_path(text) is is_one


def test_the_example_alone_proves_little() -> None:
    source = torch_module_source(f"{TOYS}:pair")
    gates = Gates({}, pictures())
    reference = reference_of(source, gates)
    session = Told(lambda _: reference.answers[0], source)
    assert "one input alone" in compare(reference, session, source=source, gates=gates).vacuous
