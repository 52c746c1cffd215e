"""Steps of a row: predicted geometry, features, and views judged together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetsight.apps.cooler.audit import STEP_NUMBERS, Extent, Lens, View
from fleetsight.apps.cooler.evaluate.row_samples import RowSample, fit_steps
from fleetsight.apps.cooler.evaluate.score import ScoreError
from fleetsight.apps.cooler.steps import (
    FEATURES,
    bookkeeping,
    load_weights,
    row_steps,
    step_features,
    step_probabilities,
    steps_behind,
)

EXTENT = Extent(pitch=1.1, slimness=0.5)
Box = NDArray[np.float32]


def bare(box: Box) -> View:
    return View(box, None, np.array([0, 0, 640, 360]))


def standing(x: float, y: float, tilt_rad: float, *, steps: float) -> Box:
    """The box of a product, one wide and two high, `steps` pitches behind a spot 12 widths from the camera."""
    foot = np.array([x, y, 12.0]) + steps * EXTENT.pitch * np.array([0.0, -np.sin(tilt_rad), np.cos(tilt_rad)])
    scale = 500.0 / foot[2]
    centre, base = 320 + scale * foot[0], 180 + scale * foot[1]
    return np.array([centre - scale / 2, base - 2 * scale, centre + scale / 2, base], dtype=np.float32)


@pytest.mark.parametrize("tilt_rad", [0.0, 0.3])
@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_step_is_found_by_edges_alone_wherever_the_row_stands(tilt_rad: float, steps: int) -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(tilt_rad,))
    for x, y in [(0.0, 0.1), (2.5, -0.8), (-2.0, 0.6)]:
        views = [bare(standing(x, y, tilt_rad, steps=n)) for n in (0, steps)]
        (found,) = row_steps(views, lens=lens, extent=EXTENT)
        assert found.steps == steps


def test_the_right_number_of_steps_has_the_smallest_residuals() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.2,))
    for steps in (-3, -1, 2, 4):
        before, after = (bare(standing(1.0, 0.3, 0.2, steps=n)) for n in (0, steps))
        features = step_features(before, after, lens=lens, extent=EXTENT)
        residuals = features[:, :6].sum(axis=1)
        assert STEP_NUMBERS[residuals.argmin()] == steps


def test_a_hidden_edge_is_no_step() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.1,))
    before = np.array([100.0, 100.0, 142.0, 184.0], dtype=np.float32)
    neighbour_hides_a_third = before + np.array([14.0, 0.0, 0.0, 0.0], dtype=np.float32)
    (found,) = row_steps([bare(before), bare(neighbour_hides_a_third)], lens=lens, extent=EXTENT)
    assert found.steps == 0


def test_a_product_that_left_and_came_back_is_both() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.2,))
    views = [bare(standing(0.5, 0.2, 0.2, steps=n)) for n in (0, 1, 0, 0)]
    assert [found.steps for found in row_steps(views, lens=lens, extent=EXTENT)] == [1, -1, 0]


def test_probabilities_add_up_to_one() -> None:
    rng = np.random.default_rng(3)
    chances = step_probabilities(rng.normal(size=(7, 9, len(FEATURES))), rng.normal(size=len(FEATURES)))
    assert chances.shape == (7, 9)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)


def test_a_product_further_back_in_an_emptied_row_tells_how_many_left() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.8,))
    front = standing(0.3, 0.5, 0.8, steps=0)
    for steps in (1, 2, 3):
        behind = standing(0.3, 0.5, 0.8, steps=steps)
        behind[1] += 20.0  # a board hides its top
        assert steps_behind(front, behind, lens=lens, extent=EXTENT) == steps


def test_the_shipped_weights_cover_every_feature() -> None:
    weights = load_weights()
    assert weights.shape == (len(FEATURES),)
    assert np.isfinite(weights).all()
    assert np.abs(weights).max() > 0.0


def test_the_fit_finds_what_tells_the_steps_apart() -> None:
    rng = np.random.default_rng(5)
    samples = []
    for _ in range(200):
        steps = int(rng.integers(-1, 3))
        features = rng.normal(size=(9, len(FEATURES)))
        features[:, 0] = np.abs(STEP_NUMBERS - steps) + rng.normal(scale=0.1, size=9)
        samples.append(RowSample(features, steps))
    fitted = fit_steps(samples)
    assert fitted["n"] == 200
    weights = np.array([fitted["weights"][name] for name in FEATURES])
    assert weights[0] == weights.min() < -1.0
    right = [STEP_NUMBERS[step_probabilities(s.features, weights).argmax()] == s.steps for s in samples]
    assert np.mean(right) > 0.95


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(ScoreError, match="nothing can be fitted"):
        fit_steps([])


def test_a_row_gains_nothing_before_something_was_taken_from_it_and_loses_nothing_in_a_restock() -> None:
    shopping, filling = (bookkeeping(2, stock=None, restock=restock) for restock in (False, True))
    assert (shopping[0][STEP_NUMBERS < 0] > 0).all()
    assert (shopping[0][STEP_NUMBERS >= 0] == 0).all()
    assert (filling[0][STEP_NUMBERS > 0] > 0).all()
    assert (shopping[1] == 0).all()


def test_books_that_show_two_speak_against_two_that_left_while_one_still_stands_there() -> None:
    lens = Lens(500.0, 640, 360, tilts_rad=(0.1,))
    views = [bare(standing(0.5, 0.3, 0.1, steps=n)) for n in (0, 2)]
    (free,) = row_steps(views, lens=lens, extent=EXTENT)
    (booked,) = row_steps(views, lens=lens, extent=EXTENT, losses=bookkeeping(1, stock=2, restock=False))
    assert free.steps == 2
    assert booked.steps != 2 or booked.probability < free.probability
