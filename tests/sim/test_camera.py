import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.sim.camera import Camera, aimed_angles

ANGLE = st.floats(-1.0, 1.0)


def test_a_point_straight_ahead_falls_on_the_centre() -> None:
    camera = Camera(640, 360, 500.0, (0.0, 600.0, -1200.0))
    assert camera.project([(0.0, 600.0, 0.0)])[0] == pytest.approx((320.0, 180.0))


def test_right_is_right_and_up_is_up() -> None:
    camera = Camera(640, 360, 500.0, (0.0, 0.0, -1000.0))
    right, above = camera.project([(100.0, 0.0, 0.0), (0.0, 100.0, 0.0)])
    assert right == pytest.approx((370.0, 180.0))
    assert above == pytest.approx((320.0, 130.0))


def test_positive_angles_look_right_and_down_and_turn_clockwise() -> None:
    ahead = [(0.0, 0.0, 0.0)]
    place = (0.0, 0.0, -1000.0)
    assert Camera(640, 360, 500.0, place, yaw_rad=0.1).project(ahead)[0, 0] < 320
    assert Camera(640, 360, 500.0, place, pitch_rad=0.1).project(ahead)[0, 1] < 180
    up = Camera(640, 360, 500.0, place, roll_rad=0.1).project([(0.0, 100.0, 0.0)])[0]
    assert up[0] < 320


def test_points_behind_the_camera_have_no_pixel() -> None:
    camera = Camera(640, 360, 500.0, (0.0, 0.0, 0.0))
    pixels = camera.project([(0.0, 0.0, -10.0), (0.0, 0.0, 10.0)])
    assert np.isnan(pixels[0]).all()
    assert np.isfinite(pixels[1]).all()
    assert camera.depth([(5.0, 3.0, -10.0)])[0] == pytest.approx(-10.0)


@given(yaw=ANGLE, pitch=ANGLE, roll=ANGLE)
def test_the_axes_of_a_camera_are_square_to_each_other(yaw: float, pitch: float, roll: float) -> None:
    rotation = Camera(2, 2, 1.0, (0.0, 0.0, 0.0), yaw, pitch, roll).rotation
    assert np.allclose(rotation @ rotation.T, np.eye(3))


@given(x=st.floats(-900, 900), y=st.floats(-900, 900), z=st.floats(100, 900))
def test_an_aimed_camera_has_its_target_in_the_middle(x: float, y: float, z: float) -> None:
    place = (10.0, 500.0, -700.0)
    yaw, pitch = aimed_angles(place, (x, y, z))
    assert Camera(640, 360, 500.0, place, yaw, pitch).project([(x, y, z)])[0] == pytest.approx((320.0, 180.0), abs=1e-6)
