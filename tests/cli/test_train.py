import itertools

import numpy as np
import pytest
from typer.testing import CliRunner

from fleetsight.cli.rendered import CROPS_PER_DESIGN, rendered_crops, rendered_frames
from fleetsight.cli.train import train_app


@pytest.mark.parametrize("kind", ["detector", "embedder"])
def test_each_training_explains_its_one_dial(kind: str) -> None:
    result = CliRunner().invoke(train_app, [kind, "--help"])
    assert result.exit_code == 0
    assert "--quality" in result.stdout


def test_a_catalogue_gives_gallery_pictures_then_scene_crops_of_each_design() -> None:
    first = list(itertools.islice(rendered_crops(7), 6 + CROPS_PER_DESIGN + 1))
    assert [sample.gallery for sample in first] == [True] * 6 + [False] * CROPS_PER_DESIGN + [True]
    assert first[0].design == first[17].design == 7000
    assert first[18].design == 7001
    assert all(sample.image.dtype == np.uint8 for sample in first)


def test_frames_have_products_inside_the_picture() -> None:
    sample = next(rendered_frames(7))
    height, width = sample.image.shape[:2]
    assert len(sample.boxes_xyxy_px) == len(sample.labels) > 0
    assert (sample.boxes_xyxy_px[:, 2:] <= (width, height)).all()
    assert set(sample.labels.tolist()) <= {0, 1}
