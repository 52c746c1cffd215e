import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetsight.sim.camera import Camera, aimed_angles
from fleetsight.sim.designs import Design, make_designs
from fleetsight.sim.solids import Canvas, Pose, draw_product, gallery_pictures, packshot, product_corners

GREY = np.full((240, 320, 3), 90, np.uint8)
FRONT = Camera(320, 240, 400.0, (0.0, 250.0, -900.0), pitch_rad=0.1)
ABOVE = Camera(320, 240, 300.0, (0.0, 800.0, -300.0), pitch_rad=1.05)
DESIGNS = make_designs(0)


def of_shape(shape: str) -> Design:
    return next(design for design in DESIGNS if design.shape == shape)


@pytest.mark.parametrize("shape", ["box", "can", "bottle", "pouch"])
@pytest.mark.parametrize("camera", [FRONT, ABOVE])
def test_a_product_lies_within_its_projected_corners_and_fills_most_of_their_height(shape: str, camera: Camera) -> None:
    canvas, pose = Canvas.over(GREY), Pose(20, 100, 60, yaw_rad=0.1)
    covered = draw_product(canvas, of_shape(shape), pose=pose, camera=camera, owner=7)
    rows, columns = np.nonzero(canvas.owner == 7)
    assert len(rows) == covered > 200
    corners = camera.project(product_corners(of_shape(shape), pose))
    assert corners[:, 0].min() - 1 <= columns.min() <= columns.max() <= corners[:, 0].max() + 1
    assert corners[:, 1].min() - 1 <= rows.min() <= rows.max() <= corners[:, 1].max() + 1
    assert np.ptp(rows) > 0.6 * np.ptp(corners[:, 1])
    untouched = np.abs(canvas.rgb.astype(int) - 90).max(axis=2) == 0
    assert untouched[canvas.owner == -1].mean() > 0.97  # all but the soft rim


@settings(max_examples=40, deadline=None)
@given(yaw=st.floats(-3, 3), pitch=st.floats(-0.7, 0.7), roll=st.floats(-0.7, 0.7), above=st.booleans())
def test_corners_of_a_box_lie_on_its_pixels(yaw: float, pitch: float, roll: float, *, above: bool) -> None:
    canvas, pose, camera = Canvas.over(GREY), Pose(0, 150, 50, yaw, pitch, roll), ABOVE if above else FRONT
    design = of_shape("box")
    draw_product(canvas, design, pose=pose, camera=camera, owner=1)
    corners = product_corners(design, pose)
    inward = corners + 0.06 * (corners.mean(axis=0) - corners)
    for x, y in camera.project(inward):
        if 0 <= x < 320 and 0 <= y < 240:
            assert canvas.owner[int(y), int(x)] == 1


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(["can", "bottle", "pouch"]),
    yaw=st.floats(-3, 3),
    pitch=st.floats(-0.7, 0.7),
    roll=st.floats(-0.7, 0.7),
    above=st.booleans(),
)
def test_curved_products_have_no_holes_along_their_axis(
    shape: str, yaw: float, pitch: float, roll: float, *, above: bool
) -> None:
    canvas, pose, camera = Canvas.over(GREY), Pose(0, 150, 50, yaw, pitch, roll), ABOVE if above else FRONT
    design = of_shape(shape)
    draw_product(canvas, design, pose=pose, camera=camera, owner=1)
    along = np.linspace(0.25, 0.75, 9)[:, None] * (0.0, design.size_mm[1], 0.0)
    pixels = camera.project(along @ pose.rotation.T + (0, 150, 50))
    inside = [(x, y) for x, y in pixels if 0 <= x < 320 and 0 <= y < 240]
    assert all(canvas.owner[int(y), int(x)] == 1 for x, y in inside)


@pytest.mark.parametrize("shape", ["can", "bottle"])
def test_a_round_product_is_whole_when_seen_from_right_above(shape: str) -> None:
    design, eye = of_shape(shape), (1.0, 900.0, -5.0)
    camera = Camera(320, 240, 400.0, eye, *aimed_angles(eye, (0, 0, 0)))
    canvas = Canvas.over(GREY)
    covered = draw_product(canvas, design, pose=Pose(0, 0, 0), camera=camera, owner=1)
    radius = design.size_mm[0] / 2 * 400 / (900 - design.size_mm[1])
    assert 0.6 * np.pi * radius**2 < covered < 1.3 * np.pi * radius**2


def test_the_later_product_covers_the_earlier_one() -> None:
    canvas = Canvas.over(GREY)
    far = draw_product(canvas, of_shape("box"), pose=Pose(0, 150, 200), camera=FRONT, owner=1)
    near = draw_product(canvas, of_shape("can"), pose=Pose(10, 150, 0), camera=FRONT, owner=2)
    assert np.count_nonzero(canvas.owner == 2) == near
    assert 0 < np.count_nonzero(canvas.owner == 1) < far


def test_out_of_sight_behind_or_too_near_nothing_is_drawn() -> None:
    canvas = Canvas.over(GREY)
    for pose in (Pose(5000, 0, 0), Pose(0, 0, -2000), Pose(0, 200, -880)):
        assert draw_product(canvas, of_shape("bottle"), pose=pose, camera=FRONT, owner=1) == 0
    assert np.array_equal(canvas.rgb, GREY)


def test_a_product_at_the_edge_of_the_picture_is_cut_off() -> None:
    canvas = Canvas.over(GREY)
    covered = draw_product(canvas, of_shape("bottle"), pose=Pose(355, 180, 0), camera=FRONT, owner=1)
    assert covered > 0
    assert (canvas.owner[:, -1] == 1).any()


def test_the_brighter_the_gain_the_brighter_the_product() -> None:
    means = []
    for gain in (0.5, 1.0):
        canvas = Canvas.over(GREY)
        draw_product(canvas, of_shape("box"), pose=Pose(0, 150, 0), camera=FRONT, owner=1, gain=gain)
        means.append(float(canvas.rgb[canvas.owner == 1].mean()))
    assert means[0] == pytest.approx(0.5 * means[1], rel=0.1)


def test_a_packshot_is_tight_and_as_large_as_asked() -> None:
    for design in DESIGNS[:8]:
        shot = packshot(design, side_px=120)
        assert max(shot.shape[:2]) == 120
        assert np.abs(shot[0, 0].astype(int) - 244).max() < 8
        middle = shot[shot.shape[0] // 2, 8:-8]
        assert np.abs(middle.astype(int) - 244).max() > 20


def test_gallery_pictures_show_the_top_too() -> None:
    level, *_, above, _ = gallery_pictures(of_shape("box"))
    assert level.shape != above.shape
