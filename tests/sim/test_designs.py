from itertools import combinations

import cv2
import numpy as np
import pytest

from fleetsight.sim.designs import Design, make_designs
from fleetsight.sim.faces import Texture
from fleetsight.sim.solids import packshot
from fleetsight.vision.image import Image


def groups_of(designs: tuple[Design, ...]) -> list[list[Design]]:
    families: dict[str, list[Design]] = {}
    for design in designs:
        families.setdefault(design.family, []).append(design)
    return [members for members in families.values() if len(members) > 1]


def seen(design: Design, *, yaw_rad: float, pitch_rad: float) -> Image:
    shot = packshot(design, yaw_rad=yaw_rad, pitch_rad=pitch_rad, side_px=45)
    return np.asarray(cv2.resize(shot, (24, 45), interpolation=cv2.INTER_AREA), np.uint8)


def difference(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_a_seed_decides_every_pixel() -> None:
    first, again, other = make_designs(4, count=12), make_designs(4, count=12), make_designs(5, count=12)
    assert first == again
    assert all(
        np.array_equal(a.textures[face].pixels, b.textures[face].pixels)
        for a, b in zip(first, again, strict=True)
        for face in a.textures
    )
    assert first != other


@pytest.mark.parametrize("seed", range(4))
def test_a_catalogue_holds_six_look_alike_groups_and_every_shape(seed: int) -> None:
    designs = make_designs(seed)
    assert len(designs) == len({design.sku for design in designs}) == 48
    assert len(groups_of(designs)) >= 6
    assert {design.shape for design in designs} == {"box", "can", "bottle", "pouch"}
    assert all(99 <= design.price_minor <= 520 for design in designs)


@pytest.mark.parametrize("count", [1, 2, 5, 80])
def test_any_number_of_designs_can_be_had(count: int) -> None:
    assert len(make_designs(1, count=count)) == count


def test_members_of_a_group_differ_in_size_or_to_the_eye_from_every_side() -> None:
    views = ((0.0, 0.1), (0.4, 0.8), (-0.4, 0.8))
    for members in groups_of(make_designs(2)):
        for one, other in combinations(members, 2):
            if one.size_mm == other.size_mm:
                gaps = [
                    difference(seen(one, yaw_rad=y, pitch_rad=p), seen(other, yaw_rad=y, pitch_rad=p)) for y, p in views
                ]
                assert min(gaps) > 3.0, (one.sku, other.sku)
            else:
                assert 0.65 < other.size_mm[1] / one.size_mm[1] < 0.85
                assert other.price_minor <= one.price_minor


def test_members_of_a_group_look_more_alike_than_strangers() -> None:
    designs = make_designs(2)
    shots = {design.sku: seen(design, yaw_rad=0.0, pitch_rad=0.1) for design in designs}
    within = [
        difference(shots[a.sku], shots[b.sku]) for members in groups_of(designs) for a, b in combinations(members, 2)
    ]
    across = [difference(shots[a.sku], shots[b.sku]) for a, b in combinations(designs, 2) if a.family != b.family]
    assert np.median(within) < 0.5 * np.median(across)


def test_reduced_textures_keep_their_mean() -> None:
    texture = Texture(np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8))
    small = texture.reduced(2, 3)
    assert small.shape == (8, 8, 3)
    assert small.mean() == pytest.approx(texture.pixels.mean(), abs=1.0)
    assert texture.reduced(20, 20).shape == (1, 1, 3)
