"""What every target must do with a compiled graph: several inputs, integers, an open batch; each target's test subclasses this."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fleetsight.accel.choose import TARGETS, target_module
from fleetsight.accel.session import Arrays, ClosedError, Session, TargetError, UnsupportedError
from fleetsight.accel.targets.options import Options
from fleetsight.accel.wire import OnnxError
from fleetsight.vision.image import ShapeError
from tests.accel.tiny_graphs import answer, question, questions, questions_onnx, source_of, unknown_operator


class CompiledContract(ABC):
    """One subclass per target."""

    target: ClassVar[str]
    flags: ClassVar[dict[str, str]] = {}
    tolerance: ClassVar[float] = 1e-4

    @abstractmethod
    def expected(self, inputs: Arrays) -> Arrays:
        """The answer the target owes for a question."""

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int | None], Session]]:
        """Opens the questions at a size of batch; compiled once for the class."""
        target, sessions = target_module(cls.target), dict[int | None, Session]()

        def session_at(batch: int | None) -> Session:
            if batch not in sessions:
                folder = tmp_path_factory.mktemp("compiled")
                target.compile(questions(), Options(batch=batch, flags=cls.flags), folder=folder)
                sessions[batch] = target.load(folder, threads=1)
            return sessions[batch]

        yield session_at
        for session in sessions.values():
            session.close()

    def agrees(self, outputs: Arrays, inputs: Arrays) -> bool:
        pairs = zip(outputs, self.expected(inputs), strict=True)
        return all(
            ours.shape == theirs.shape and np.abs(ours - theirs).max() <= self.tolerance for ours, theirs in pairs
        )

    def test_says_what_it_offers(self) -> None:
        module: Any = target_module(self.target)
        assert self.target in TARGETS
        assert self.target == module.NAME
        assert "f32" in module.precisions()
        assert "auto" not in module.precisions()
        assert module.compiler() == module.compiler()
        assert module.compiler().startswith(self.target)

    def test_takes_several_inputs_and_integers(self, opened: Callable[[int | None], Session]) -> None:
        session = opened(1)
        assert [(spec.name, spec.element, spec.shape) for spec in session.inputs] == [
            ("ids", "i64", (1, 4)),
            ("mask", "f32", (1, 4)),
        ]
        outputs = session.run(*question(1))
        assert [output.dtype for output in outputs] == [np.float32, np.int64]
        assert self.agrees(outputs, question(1))

    def test_an_open_batch_takes_any_size(self, opened: Callable[[int | None], Session]) -> None:
        session = opened(None)
        assert session.inputs[0].shape == (None, 4)
        for batch in (1, 3, 2, 5):
            outputs = session.run(*question(batch, batch))
            assert len(outputs[0]) == batch
            assert self.agrees(outputs, question(batch, batch))

    def test_a_fixed_batch_takes_that_size_alone(self, opened: Callable[[int | None], Session]) -> None:
        session = opened(2)
        assert self.agrees(session.run(*question(3, 2)), question(3, 2))
        with pytest.raises(ShapeError, match=r"takes int64 \(2, 4\)"):
            session.run(*question(3, 1))

    def test_map_takes_tuples_in_order_and_lazily(self, opened: Callable[[int | None], Session]) -> None:
        taken = 0

        def endless() -> Iterator[Arrays]:
            nonlocal taken
            while True:
                taken += 1
                yield question(taken)

        answers = opened(1).map(endless())
        for seed in range(1, 7):
            assert self.agrees(next(answers), question(seed))
            assert taken <= seed + 64
        answers.close()  # type: ignore[attr-defined]  # map is a generator in every target

    def test_runs_from_several_threads(self, opened: Callable[[int | None], Session]) -> None:
        asked = [question(seed) for seed in range(12)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda inputs: opened(1).run(*inputs), asked))
        assert all(self.agrees(outputs, inputs) for outputs, inputs in zip(answers, asked, strict=True))

    def test_refuses_too_few_inputs_wrong_types_and_uneven_batches(
        self, opened: Callable[[int | None], Session]
    ) -> None:
        ids, mask = question(1)
        with pytest.raises(ShapeError, match="takes 2 inputs, got 1"):
            opened(1).run(ids)
        with pytest.raises(ShapeError, match="'ids' takes int64"):
            opened(1).run(ids.astype(np.int32), mask)
        with pytest.raises(ShapeError, match="batches of 2, 3"):
            opened(None).run(question(1, 2)[0], question(1, 3)[1])
        with pytest.raises(ShapeError, match="batches of 0"):
            opened(None).run(ids[:0], mask[:0])

    def test_a_loaded_session_can_be_closed_and_loaded_again(self, tmp_path: Path) -> None:
        module = target_module(self.target)
        module.compile(questions(), Options(flags=self.flags), folder=tmp_path)
        with closing(module.load(tmp_path, streams=2, threads=2)) as session:
            asked = [question(seed) for seed in range(5)]
            assert all(self.agrees(*pair) for pair in zip(session.map(asked), asked, strict=True))
        with pytest.raises(ClosedError, match="closed"):
            session.run(*question(1))
        with closing(module.load(tmp_path)) as again:
            assert self.agrees(again.run(*question(2)), question(2))

    def test_refuses_flags_and_precisions_it_does_not_have(self, tmp_path: Path) -> None:
        module = target_module(self.target)
        with pytest.raises(TargetError, match="'no_such_flag'"):
            module.compile(questions(), Options(flags={**self.flags, "no_such_flag": "1"}), folder=tmp_path)
        with pytest.raises(TargetError, match="int4"):
            module.compile(questions(), Options(precision="int4", flags=self.flags), folder=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_refuses_a_batch_that_the_graph_cannot_have(self, tmp_path: Path) -> None:
        fixed = source_of(questions_onnx(batch=2), question(0, 2))
        for batch in (3, None):
            with pytest.raises(OnnxError, match="fixed at 2"):
                target_module(self.target).compile(fixed, Options(batch=batch, flags=self.flags), folder=tmp_path)

    def test_refuses_a_folder_of_another_target(self, tmp_path: Path) -> None:
        other = "null" if self.target != "null" else "openvino"
        target_module(other).compile(questions(), Options(), folder=tmp_path)
        with pytest.raises(TargetError, match=f"compiled for {other}"):
            target_module(self.target).load(tmp_path)
        (tmp_path / "session.json").write_text("{")
        with pytest.raises(TargetError, match="cannot be read"):
            target_module(self.target).load(tmp_path)


class ComputingContract(CompiledContract):
    """For targets that really compute."""

    def expected(self, inputs: Arrays) -> Arrays:
        return answer(*inputs)

    @pytest.mark.parametrize(("domain", "name"), [("", "NoSuchOp"), ("my.domain", "Twist")])
    def test_an_operator_it_does_not_have_is_named(self, tmp_path: Path, domain: str, name: str) -> None:
        with pytest.raises(UnsupportedError, match=name) as caught:
            target_module(self.target).compile(
                unknown_operator(domain, name), Options(flags=self.flags), folder=tmp_path
            )
        assert "fleetsight doctor" in caught.value.hint
        assert list(tmp_path.iterdir()) == []
