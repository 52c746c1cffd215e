"""What every target must do; each target's test subclasses this."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.accel.choose import TARGETS, open_session
from fleetsight.accel.portable import PortableModel
from fleetsight.accel.session import ClosedError, Session, TargetError
from fleetsight.vision.image import ShapeError
from tests.accel.tiny_models import CELLS, DIMENSIONS, LABELS, TinyHead, detector_card, save_detector, save_embedder

Floats = NDArray[np.float32]


def batch_number(seed: int, shape: tuple[int, ...] = (1, 3, 64, 96)) -> Floats:
    return np.random.default_rng(seed).random(size=shape, dtype=np.float32)


class TargetContract(ABC):
    """One subclass per target."""

    target: ClassVar[str]
    tolerance: ClassVar[float] = 1e-4

    @abstractmethod
    def expected(self, batch: Floats) -> Floats:
        """The answer the target owes for the tiny detector."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> PortableModel:
        return save_detector(tmp_path / "tiny")

    @pytest.fixture
    def session(self, model: PortableModel) -> Iterator[Session]:
        with closing(open_session(model, self.target, precision="f32", threads=1)) as session:
            yield session

    def test_is_listed_and_can_work_here(self, session: Session) -> None:
        assert self.target in TARGETS
        assert session.target == self.target

    def test_answers_what_the_network_says(self, session: Session) -> None:
        batch = batch_number(1)
        (answer,) = session.run(batch)
        assert answer.shape == (1, CELLS, 4 + len(LABELS))
        assert np.abs(answer - self.expected(batch)).max() <= self.tolerance

    def test_answers_are_float32_and_belong_to_the_caller(self, session: Session) -> None:
        first = session.run(batch_number(1))[0]
        kept = first.copy()
        second = session.run(batch_number(2))[0]
        assert first.dtype == np.float32
        assert first.flags.writeable
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, kept)

    def test_map_keeps_the_order(self, session: Session) -> None:
        batches = [batch_number(seed) for seed in range(12)]
        answers = [outputs[0].copy() for outputs in session.map(iter(batches))]
        assert len(answers) == len(batches)
        for batch, answer in zip(batches, answers, strict=True):
            assert np.abs(answer - self.expected(batch)).max() <= self.tolerance

    def test_map_answers_stay_as_they_were(self, session: Session) -> None:
        batches = [batch_number(seed) for seed in range(9)]
        answers = [outputs[0] for outputs in session.map(batches)]
        for batch, answer in zip(batches, answers, strict=True):
            assert np.abs(answer - self.expected(batch)).max() <= self.tolerance

    def test_map_of_nothing_is_nothing(self, session: Session) -> None:
        assert list(session.map([])) == []

    def test_map_takes_batches_only_a_few_ahead(self, session: Session) -> None:
        taken = 0

        def endless() -> Iterator[Floats]:
            nonlocal taken
            while True:
                taken += 1
                yield batch_number(taken)

        answers = session.map(endless())
        next(answers)
        assert taken <= 64
        answers.close()  # type: ignore[attr-defined]  # map is a generator in every target

    def test_map_passes_an_error_of_its_source_on_and_can_be_used_again(self, session: Session) -> None:
        def broken() -> Iterator[Floats]:
            yield batch_number(1)
            raise RuntimeError("source")

        with pytest.raises(RuntimeError, match="source"):
            list(session.map(broken()))
        assert len(list(session.map([batch_number(1), batch_number(2)]))) == 2

    def test_map_left_half_way_does_no_harm(self, session: Session) -> None:
        for _ in session.map(batch_number(seed) for seed in range(20)):
            break
        assert np.abs(session.run(batch_number(3))[0] - self.expected(batch_number(3))).max() <= self.tolerance

    @pytest.mark.parametrize("shape", [(3, 64, 96), (2, 3, 64, 96), (1, 3, 96, 64), (1, 64, 96, 3)])
    def test_refuses_another_shape(self, session: Session, shape: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match="takes float32"):
            session.run(batch_number(1, shape))
        with pytest.raises(ShapeError, match="takes float32"):
            list(session.map([batch_number(1, shape)]))

    def test_refuses_another_element_type(self, session: Session) -> None:
        with pytest.raises(ShapeError, match="float64"):
            session.run(batch_number(1).astype(np.float64))

    def test_takes_batches_that_are_not_contiguous(self, session: Session) -> None:
        channels_last = np.ascontiguousarray(batch_number(4).transpose(0, 2, 3, 1))
        view = channels_last.transpose(0, 3, 1, 2)
        assert np.abs(session.run(view)[0] - self.expected(view)).max() <= self.tolerance

    def test_runs_from_several_threads(self, session: Session) -> None:
        batches = [batch_number(seed) for seed in range(24)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda batch: session.run(batch)[0], batches))
        for batch, answer in zip(batches, answers, strict=True):
            assert np.abs(answer - self.expected(batch)).max() <= self.tolerance

    def test_two_maps_run_side_by_side(self, session: Session) -> None:
        batches = [batch_number(seed) for seed in range(6)]
        pairs = zip(session.map(batches), session.map(batches[::-1]), batches, batches[::-1], strict=True)
        for first, second, batch, other in pairs:
            assert np.abs(first[0] - self.expected(batch)).max() <= self.tolerance
            assert np.abs(second[0] - self.expected(other)).max() <= self.tolerance

    def test_closing_twice_is_fine_and_a_closed_session_says_so(self, model: PortableModel) -> None:
        session = open_session(model, self.target)
        session.run(batch_number(1))
        session.close()
        session.close()
        with pytest.raises(ClosedError, match="closed"):
            session.run(batch_number(1))
        with pytest.raises(ClosedError, match="closed"):
            list(session.map([batch_number(1)]))

    def test_an_open_batch_axis_becomes_one(self, tmp_path: Path) -> None:
        model = PortableModel.save(tmp_path / "open", TinyHead().onnx(open_batch=True), card=detector_card())
        with closing(open_session(model, self.target, precision="f32")) as session:
            assert session.input_shape == (1, 3, 64, 96)
            assert np.abs(session.run(batch_number(1))[0] - self.expected(batch_number(1))).max() <= self.tolerance

    def test_runs_a_resized_model(self, model: PortableModel) -> None:
        with closing(open_session(model.resized((64, 32)), self.target, precision="f32")) as session:
            batch = batch_number(1, (1, 3, 32, 64))
            answer = session.run(batch)[0]
            assert answer.shape == (1, 8 * 4 + 4 * 2 + 2, 4 + len(LABELS))

    def test_runs_an_embedder(self, tmp_path: Path) -> None:
        with closing(open_session(save_embedder(tmp_path / "embedder"), self.target)) as session:
            assert session.run(batch_number(1, (1, 3, 16, 16)))[0].shape == (1, DIMENSIONS)

    def test_refuses_a_precision_it_does_not_have(self, model: PortableModel) -> None:
        with pytest.raises(TargetError, match="int4"):
            open_session(model, self.target, precision="int4")  # type: ignore[arg-type]
