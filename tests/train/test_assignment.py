import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import torch

from fleetsight.train.assignment import TOP_CELLS, Assignment, Truth, assign, cells_inside, pair_iou
from fleetsight.train.dense_detector import cell_centres

SIZE_WH = (128, 96)


def _truth(boxes: list[list[float]], labels: list[int]) -> Truth:
    return Truth(
        boxes=torch.tensor([boxes]).reshape(1, -1, 4),
        labels=torch.tensor([labels]),
        valid=torch.ones(1, len(labels), dtype=torch.bool),
        ignore=torch.zeros(1, 0, 4),
    )


def _assigned(truth: Truth, seed: int = 0) -> Assignment:
    centres, _ = cell_centres(SIZE_WH)
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(1, len(centres), 2, generator=generator) * 30 + 8
    boxes = torch.cat((centres - half, centres + half), dim=-1)
    return assign(torch.rand(1, len(centres), 2, generator=generator), boxes, centres=centres, truth=truth)


def test_every_positive_cell_lies_inside_its_box() -> None:
    truth = _truth([[10, 10, 60, 70], [50, 20, 110, 90]], [0, 1])
    found = _assigned(truth)
    centres, _ = cell_centres(SIZE_WH)
    inside = cells_inside(centres, truth.boxes)[0]
    cells = found.positive[0].nonzero().flatten()
    assert len(cells) > 0
    assert bool(inside[found.owner[0, cells], cells].all())


@pytest.mark.parametrize("seed", range(5))
def test_a_box_gets_at_most_the_best_few_cells(seed: int) -> None:
    found = _assigned(_truth([[0, 0, 128, 96], [30, 30, 60, 60]], [0, 0]), seed)
    counts = torch.bincount(found.owner[0, found.positive[0]], minlength=2)
    assert int(counts.max()) <= TOP_CELLS
    assert int(counts.min()) >= 1


def test_target_scores_name_only_the_box_own_class() -> None:
    found = _assigned(_truth([[10, 10, 60, 70]], [1]))
    assert float(found.scores[..., 0].max()) == 0.0
    assert torch.equal(found.scores[..., 1], found.weight)


def test_the_best_cell_of_a_box_targets_its_own_overlap() -> None:
    truth = _truth([[40, 24, 72, 56]], [0])
    centres, _ = cell_centres(SIZE_WH)
    boxes = truth.boxes[:, :1].expand(1, len(centres), 4).clone()
    found = assign(torch.full((1, len(centres), 2), 0.5), boxes, centres=centres, truth=truth)
    assert float(found.weight.max()) == pytest.approx(1.0, abs=1e-4)


def test_a_picture_without_boxes_has_no_positive_cell() -> None:
    empty = Truth(torch.zeros(1, 0, 4), torch.zeros(1, 0).long(), torch.zeros(1, 0).bool(), torch.zeros(1, 0, 4))
    assert not bool(_assigned(empty).positive.any())


def test_padding_is_never_assigned() -> None:
    truth = _truth([[10, 10, 60, 70], [0, 0, 128, 96]], [0, 1])
    padded = Truth(truth.boxes, truth.labels, torch.tensor([[True, False]]), truth.ignore)
    found = _assigned(padded)
    assert int(found.owner[found.positive].max()) == 0
    assert float(found.scores[..., 1].max()) == 0.0


def test_iou_of_a_box_with_itself_is_one() -> None:
    box = torch.tensor([3.0, 4.0, 20.0, 30.0])
    assert float(pair_iou(box, box)) == pytest.approx(1.0)
