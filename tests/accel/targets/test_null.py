import numpy as np

from fleetsight.accel.session import Arrays
from tests.accel.tiny_graphs import answer
from tests.accel.tiny_models import CELLS, LABELS
from tests.contracts.compiled_contract import CompiledContract
from tests.contracts.target_contract import Floats, TargetContract


class TestNull(TargetContract):
    target = "null"
    tolerance = 0.0

    def expected(self, batch: Floats) -> Floats:
        return np.zeros((1, CELLS, 4 + len(LABELS)), dtype=np.float32)


class TestCompiledNull(CompiledContract):
    target = "null"

    def expected(self, inputs: Arrays) -> Arrays:
        return tuple(np.zeros_like(output) for output in answer(*inputs))
