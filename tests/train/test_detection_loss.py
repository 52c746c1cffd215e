import pytest

pytest.importorskip("torch", reason="training needs the extra `train`")

import torch

from fleetsight.train.assignment import Truth
from fleetsight.train.dense_detector import DenseDetector, DetectorShape, cell_centres
from fleetsight.train.detection_loss import detection_loss, giou

SIZE_WH = (96, 64)


def _raw(logit: float) -> torch.Tensor:
    centres, _ = cell_centres(SIZE_WH)
    raw = torch.zeros(1, len(centres), 6)
    raw[..., 4:] = logit
    return raw.requires_grad_()


def _truth(boxes: torch.Tensor, ignore: torch.Tensor) -> Truth:
    count = boxes.shape[1]
    return Truth(boxes, torch.zeros(1, count).long(), torch.ones(1, count).bool(), ignore)


def test_a_region_without_verdict_costs_nothing() -> None:
    everywhere = torch.tensor([[[-1.0, -1.0, 97.0, 65.0]]])
    losses = detection_loss(_raw(3.0), cell_centres(SIZE_WH), truth=_truth(torch.zeros(1, 0, 4), everywhere))
    assert float(losses["total"].detach()) == 0.0


def test_a_false_alarm_costs_where_there_is_a_verdict() -> None:
    losses = detection_loss(_raw(3.0), cell_centres(SIZE_WH), truth=_truth(torch.zeros(1, 0, 4), torch.zeros(1, 0, 4)))
    assert float(losses["total"].detach()) > 1.0


def test_cells_of_a_judged_box_are_judged_inside_a_region_without_verdict() -> None:
    box = torch.tensor([[[8.0, 8.0, 72.0, 56.0]]])
    raw = _raw(0.0)
    detection_loss(raw, cell_centres(SIZE_WH), truth=_truth(box, box))["total"].backward()  # type: ignore[no-untyped-call]
    assert raw.grad is not None
    touched = (raw.grad[0, :, 4:].abs().sum(dim=-1) > 0).sum()
    assert int(touched) > 10  # negatives among them: a box has at most ten positives


def test_giou_falls_below_zero_for_distant_boxes() -> None:
    near = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    far = torch.tensor([[50.0, 50.0, 60.0, 60.0]])
    assert float(giou(near, near)[0]) == pytest.approx(1.0, abs=1e-5)
    assert float(giou(near, far)[0]) < -0.5


def test_loss_falls_on_one_picture() -> None:
    torch.manual_seed(0)
    net = DenseDetector(DetectorShape(trunk=(8, 8, 16, 16, 16), neck=16, head=16))
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    image = torch.zeros(2, 3, 64, 96)
    image[:, :, 16:48, 24:56] = 1.0
    truth = Truth(
        torch.tensor([[[24.0, 16.0, 56.0, 48.0]]]).repeat(2, 1, 1),
        torch.zeros(2, 1).long(),
        torch.ones(2, 1).bool(),
        torch.zeros(2, 0, 4),
    )
    history = []
    for _ in range(25):
        losses = detection_loss(net(image), cell_centres(SIZE_WH), truth=truth)
        optimiser.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        history.append(float(losses["total"].detach()))
    assert history[-1] < 0.5 * history[0]
