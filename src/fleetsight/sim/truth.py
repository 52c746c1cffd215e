"""What really happened in a session, and the files that go beside its clip.

Truth follows from the script alone: no frame has to be drawn for it. `write_side_files` writes `truth.json`, `planogram.json` and the catalog
folder; the clip itself is encoded by the caller.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fleetsight.sim.cooler.furniture import box_px
from fleetsight.sim.designs import Design
from fleetsight.sim.session import SessionPlan
from fleetsight.sim.shoppers.scripts import Event
from fleetsight.sim.solids import gallery_pictures

CURRENCY = "EUR"

STOCK_ERROR_SHARE = 0.04
"""Rows whose booked stock is off by one; our own choice, stock records of shops are often worse."""


@dataclass(frozen=True)
class TruthEvent:
    """One physical act.

    Attributes:
        kind: "take", "put_back", "foreign_item" or "unknown".
        sku: the product; None when it is not in the catalog.
        count: units moved together.
        at_s: take: it leaves its place; put_back: it rests.
        window_s: take: from then to out of the picture or outside; put_back: from coming in to rest.
        facing: name of the place.
        items: item ids of the session.
    """

    kind: str
    sku: str | None
    count: int
    at_s: float
    window_s: tuple[float, float]
    facing: str
    items: tuple[int, ...]


@dataclass(frozen=True)
class Truth:
    """What a session should be settled to.

    Attributes:
        events: in order of time.
        basket: units per SKU, none at zero; takes minus put-backs.
        decision: "charge", "review" or "release": what a careful person would do with perfect sight of the clip.
        role: "shopper" or "restock".
    """

    events: tuple[TruthEvent, ...]
    basket: dict[str, int]
    decision: str
    role: str


def session_truth(plan: SessionPlan) -> Truth:
    """Work out the truth of a session.

    Args:
        plan: the session.

    Returns:
        Events, basket and decision.
    """
    events = tuple(_told(event, plan) for event in plan.script.events)
    basket = Counter[str]()
    if plan.script.role == "shopper":
        for event in events:
            if event.sku is not None:
                basket[event.sku] += event.count if event.kind == "take" else -event.count
    doubtful = any(event.kind in {"foreign_item", "unknown"} for event in events)
    doubtful = doubtful or any(lens.kind == "cover" for lens in plan.script.lens)
    charged = {sku: count for sku, count in sorted(basket.items()) if count > 0}
    decision = "review" if doubtful else "charge" if charged else "release"
    return Truth(events, charged, decision, plan.script.role)


def _told(event: Event, plan: SessionPlan) -> TruthEvent:
    return TruthEvent(
        kind=event.kind,
        sku=plan.designs[event.design].sku if event.design >= 0 else None,
        count=event.count,
        at_s=round(event.at_s, 3),
        window_s=(round(event.window_s[0], 3), round(event.window_s[1], 3)),
        facing=plan.shelf.facings[event.facing].facing_id,
        items=event.items,
    )


def planogram_rows(plan: SessionPlan) -> dict[str, Any]:
    """The site's planogram as the camera sees it.

    Args:
        plan: the session.

    Returns:
        The content of `planogram.json`; a facing out of the picture is left out.
    """
    facings = []
    for index, facing in enumerate(plan.shelf.facings):
        design = plan.designs[facing.design]
        box = box_px(plan.camera, design, pose=plan.shelf.slot_pose(index, 0))
        if box is not None:
            depth_count = len(facing.slots_z_mm)
            facings.append(
                {
                    "id": facing.facing_id,
                    "sku": design.sku,
                    "box_xyxy_px": box,
                    "depth_count": depth_count,
                    "stock_count": booked_stock(plan, index),
                }
            )
    seen = plan.camera
    camera = {
        "width_px": seen.width_px,
        "height_px": seen.height_px,
        "focal_px": seen.focal_px,
        "tilt_rad": seen.pitch_rad,
    }
    return {"site": f"sim-{plan.suite}-{plan.seed}", "camera": camera, "facings": facings}


def booked_stock(plan: SessionPlan, facing: int) -> int:
    """Units that the books show for a row when the door opens: now and then they are wrong by one, as books are.

    Args:
        plan: the session.
        facing: index of the row.

    Returns:
        The number, at least 0.
    """
    standing = sum(item.facing == facing and item.pose is not None for item in plan.script.items)
    rng = np.random.default_rng([plan.optics_seed, facing, 7])
    if rng.random() >= STOCK_ERROR_SHARE:
        return standing
    return max(0, standing + int(rng.choice([-1, 1])))


def truth_rows(plan: SessionPlan, truth: Truth) -> dict[str, Any]:
    """The truth as it is written.

    Args:
        plan: the session.
        truth: its truth.

    Returns:
        The content of `truth.json`.
    """
    events = [
        {
            "kind": event.kind,
            "sku": event.sku,
            "count": event.count,
            "at_s": event.at_s,
            "window_s": list(event.window_s),
            "facing": event.facing,
        }
        for event in truth.events
    ]
    return {
        "scenario": plan.scenario,
        "seed": plan.seed,
        "suite": plan.suite,
        "view": plan.view,
        "role": truth.role,
        "rate_hz": str(plan.rate_hz),
        "crf": plan.crf,
        "frames": plan.frame_count,
        "events": events,
        "basket": truth.basket,
        "decision": truth.decision,
    }


def write_catalog(designs: tuple[Design, ...], folder: Path) -> None:
    """Write a catalog folder with gallery pictures.

    Args:
        designs: the SKUs.
        folder: made when missing.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    rows = []
    for design in designs:
        names = []
        for index, picture in enumerate(gallery_pictures(design)):
            name = f"pictures/{design.sku}_{index}.png"
            cv2.imwrite(str(folder / name), np.ascontiguousarray(picture[..., ::-1]))
            names.append(name)
        rows.append(
            {
                "sku": design.sku,
                "name": design.name,
                "family": design.family,
                "size_mm": list(design.size_mm),
                "price_minor": design.price_minor,
                "pictures": names,
            }
        )
    (folder / "catalog.json").write_text(json.dumps({"currency": CURRENCY, "skus": rows}, indent=1), encoding="utf-8")


def write_side_files(plan: SessionPlan, truth: Truth, *, folder: Path) -> None:
    """Write everything that goes beside a clip.

    Args:
        plan: the session.
        truth: its truth.
        folder: made when missing; gets `truth.json`, `planogram.json` and `catalog/`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(truth_rows(plan, truth), indent=1), encoding="utf-8")
    (folder / "planogram.json").write_text(json.dumps(planogram_rows(plan), indent=1), encoding="utf-8")
    write_catalog(plan.catalog, folder / "catalog")
