import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fleetsight.accel.targets import neuron

STANDIN = Path(__file__).resolve().parents[1] / "neuron_standin"


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_neuronx"]:
        del sys.modules[name]


@pytest.fixture(scope="class")
def standin() -> Iterator[ModuleType]:
    """torch_neuronx as the stand-in, with a device file; nothing of it is left afterwards."""
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STANDIN / "installed")
        package = importlib.import_module("torch_neuronx")
        package.install()
        yield package
        package.uninstall()
    forget()


@pytest.fixture
def placeholder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch_neuronx as PyPI has it."""
    forget()
    monkeypatch.syspath_prepend(STANDIN / "placeholder")
    yield
    forget()


@pytest.fixture(scope="class")
def with_device() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neuron, "probe", lambda: None)
        yield
