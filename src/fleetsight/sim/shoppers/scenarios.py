"""The seventeen scenarios, each a few lines on a stage.

They follow the failure matrix of cooler reviews: what a shopper, a clumsy hand or a camera can do that has misled such systems. Each function
writes a script on the stage it is given; what is drawn at random there comes from the stage's generator. `SCENARIOS` is their order.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fleetsight.sim.cooler.optics import Lens
from fleetsight.sim.shoppers.acts import (
    THINGS,
    end,
    make_room,
    maybe_distract,
    narrow,
    one_person,
    plain_take,
    same_beside,
    take_and_return,
    touch,
)
from fleetsight.sim.shoppers.scripts import Script
from fleetsight.sim.shoppers.sleeves import ArmLook, make_look
from fleetsight.sim.shoppers.stage import Stage
from fleetsight.sim.shoppers.visits import Manner, Visit

DOOR_DIM = 0.3
"""Brightness left when the door is closed and the light goes off."""


def write_script(scenario: str, stage: Stage) -> Script:
    """Write a session.

    Args:
        scenario: one of `SCENARIOS`.
        stage: a fresh stage.

    Returns:
        The script.

    Raises:
        KeyError: no such scenario.
    """
    return _WRITERS[scenario](stage)


def _basic(stage: Stage) -> Script:
    look = one_person(stage)
    at_s = maybe_distract(stage, stage.start_s)
    for _ in range(int(stage.rng.integers(1, 3))):
        at_s = plain_take(stage, at_s, manner=Manner(look=look)) + stage.gap()
    maybe_distract(stage, at_s, share=0.12)
    return end(stage)


def _look_and_return(stage: Stage) -> Script:
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    take_and_return(stage, at_s, facing=stage.pick(stage.stocked()))
    return end(stage)


def _misplaced(stage: Stage) -> Script:
    options = [
        i
        for i in stage.stocked()
        if any(stage.fits(stage.rows[i][0].design, j) for j in range(len(stage.rows)) if j != i)
    ]
    source = stage.pick(options or stage.stocked())
    target, slot = make_room(stage, stage.rows[source][0].design, source=source)
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    draw = stage.rng.random()
    carried = draw >= 0.85  # straight over, without a look
    visit = Visit(stage, at_s, target=source, manner=Manner(peak_m_s=0.5 if carried else None))
    item = visit.take(source)[0]
    if draw < 0.5:
        visit.look()
    elif not carried:
        at_s = visit.leave() + 0.4 + stage.gap()
        visit = Visit(stage, at_s, target=target, manner=Manner(look=visit.look_of_arm))
        visit.bring(item)
    visit.put_back(target, slot)
    visit.leave()
    return end(stage)


def _take_again(stage: Stage) -> Script:
    facing = stage.pick(stage.stocked())
    at_s = take_and_return(stage, stage.start_s, facing=facing) + stage.gap()
    visit = Visit(stage, at_s, target=facing)
    visit.take(facing)
    visit.leave()
    return end(stage)


def _several_units(stage: Stage) -> Script:
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    pairs = [pair for pair in same_beside(stage) if narrow(stage, pair[0])]
    deep = [i for i in stage.stocked(2) if narrow(stage, i)] or stage.stocked(2)
    if pairs and stage.rng.random() < 0.5:
        first, second = pairs[int(stage.rng.integers(len(pairs)))]
        visit = Visit(stage, at_s, target=first, manner=Manner(grasp="cover"))
        visit.take(first, beside=second)
    else:
        facing = stage.pick(deep)
        visit = Visit(stage, at_s, target=facing, manner=Manner(grasp="side"))
        visit.take(facing, units=2)
    if stage.rng.random() < 0.3:
        visit.look()
    at_s = visit.leave() + stage.gap()
    if stage.rng.random() < 0.3:
        plain_take(stage, at_s)
    return end(stage)


def _two_at_once(stage: Stage, *, same_sku: bool, looks: tuple[ArmLook, ArmLook]) -> float:
    """Two arms at the shelf together, the second up to 0.6 s after the first."""
    pairs = same_beside(stage)
    deep = stage.stocked(2)
    if same_sku and pairs and stage.rng.random() < 0.6:
        left, right = pairs[int(stage.rng.integers(len(pairs)))]
        delay = 0.0
    elif same_sku:
        left = right = stage.pick(deep)
        delay = 0.75
    else:
        left, right = sorted(
            stage.rng.choice(stage.stocked(), size=2, replace=False).tolist(), key=lambda i: stage.shelf.facings[i].x_mm
        )
        delay = 0.0
    delay += float(stage.rng.uniform(0.0, 0.6))
    first = Visit(stage, stage.start_s, target=left, manner=Manner(look=looks[0]))
    first.take(left)
    first.leave()
    second = Visit(stage, stage.start_s + delay, target=right, manner=Manner(look=looks[1]))
    if left == right:  # the second must not grasp before the first has lifted
        lifted = max(event.at_s for event in stage.events)
        second.at_s = max(second.at_s, lifted)
        second.keys = [replace(second.keys[0], at_s=second.at_s)]
    second.take(right)
    if stage.rng.random() < 0.25:
        second.look()
    return max(first.at_s, second.leave())


def _both_hands(stage: Stage) -> Script:
    right = one_person(stage)
    at_s = _two_at_once(stage, same_sku=True, looks=(replace(right, right=False), right))
    if stage.rng.random() < 0.3:
        plain_take(stage, at_s + stage.gap(), manner=Manner(look=right))
    return end(stage)


def _two_people(stage: Stage) -> Script:
    looks = (one_person(stage), one_person(stage))
    at_s = _two_at_once(stage, same_sku=False, looks=looks)
    draw = stage.rng.random()
    if draw < 0.35:
        plain_take(stage, at_s + stage.gap(), manner=Manner(look=looks[0]))
    elif draw < 0.6:
        take_and_return(stage, at_s + stage.gap(), facing=stage.pick(stage.stocked()))
    return end(stage)


def _hidden_by_hand(stage: Stage) -> Script:
    size = {i: float(np.prod(stage.designs[stage.rows[i][0].design].size_mm[:2])) for i in stage.stocked()}
    small = sorted(size, key=lambda i: size[i])[: max(3, len(size) // 3)]
    at_s = stage.start_s
    for _ in range(int(stage.rng.integers(1, 3))):
        facing = stage.pick([i for i in small if stage.rows[i]] or stage.stocked())
        look = make_look(stage.rng, right=bool(stage.rng.random() < 0.6), scale=1.16)
        visit = Visit(stage, at_s, target=facing, manner=Manner(grasp="cover", look=look))
        visit.take(facing)
        at_s = visit.leave() + stage.gap()
    return end(stage)


def _look_alikes(stage: Stage) -> Script:
    family = [stage.designs[f.design].family for f in stage.shelf.facings]
    designs_of = {
        name: {f.design for f, n in zip(stage.shelf.facings, family, strict=True) if n == name} for name in family
    }
    alike = [i for i in stage.stocked() if len(designs_of[family[i]]) >= 2] or stage.stocked()
    facing = stage.pick(alike)
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    for turn in range(int(stage.rng.integers(1, 3))):
        kin = [i for i in alike if family[i] == family[facing] and stage.rows[i]]
        facing = facing if turn == 0 or not kin else stage.pick(kin)
        if not stage.rows[facing]:
            break
        visit = Visit(stage, at_s, target=facing)
        visit.take(facing)
        at_s = visit.leave() + stage.gap()
    return end(stage)


def _foreign_for(stage: Stage, facing: int) -> int:
    foreign = range(stage.catalog_count, len(stage.designs))
    return stage.pick([i for i in foreign if stage.fits(i, facing)] or foreign)


def _swap_foreign(stage: Stage) -> Script:
    facing = stage.pick(
        [i for i in stage.stocked() if any(stage.fits(d, i) for d in range(stage.catalog_count, len(stage.designs)))]
        or stage.stocked()
    )
    visit = Visit(stage, stage.start_s, target=facing)
    slot = visit.take(facing)[0].slot
    at_s = visit.leave() + 0.3 + stage.gap()
    visit = Visit(stage, at_s, target=facing, manner=Manner(look=visit.look_of_arm))
    visit.bring(stage.add_item(_foreign_for(stage, facing)))
    visit.put_back(facing, slot)
    visit.leave()
    return end(stage)


def _unplanned(stage: Stage) -> Script:
    listed = {facing.design for facing in stage.shelf.facings}
    places = list(range(len(stage.rows)))
    stage.rng.shuffle(places)
    pool = (
        range(stage.catalog_count, len(stage.designs))
        if stage.odd
        else [i for i in range(stage.catalog_count) if i not in listed]
    )
    options = [(place, design) for place in places for design in pool if stage.fits(design, place)]
    place, design = options[0] if options else (places[0], pool[0])
    slots = len(stage.shelf.facings[place].slots_z_mm)
    stage.restock_row(place, design=design, slots=range(int(stage.rng.integers(1, slots + 1))))
    at_s = stage.start_s
    if stage.rng.random() < 0.4:
        at_s = plain_take(stage, at_s, avoid=(place,)) + stage.gap()
    visit = Visit(stage, at_s, target=place)
    visit.take(place)
    visit.leave()
    return end(stage)


def _reopened(stage: Stage) -> Script:
    look = one_person(stage)
    at_s = plain_take(stage, stage.start_s, manner=Manner(look=look)) + 0.4
    shut = Lens("door", at_s, at_s + float(stage.rng.uniform(1.3, 1.8)), DOOR_DIM, int(stage.rng.integers(1 << 31)))
    stage.lens.append(shut)
    plain_take(stage, shut.to_s + 0.4 + stage.gap(), manner=Manner(look=look))
    return end(stage)


def _shake(stage: Stage) -> Script:
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    at_s = plain_take(stage, at_s) + float(stage.rng.uniform(0.4, 0.8))
    lasts = float(stage.rng.uniform(1.0, 1.8))
    end_s = at_s + lasts + float(stage.rng.uniform(0.5, 0.9))
    dim = float(stage.rng.uniform(0.5, 0.85))
    stage.lens.append(Lens("door", at_s, end_s + 1.0, dim, int(stage.rng.integers(1 << 31))))
    amplitude = float(stage.rng.uniform(4.0, 12.0))
    stage.lens.append(Lens("shake", at_s + 0.08, at_s + lasts, amplitude, int(stage.rng.integers(1 << 31))))
    return stage.finish(end_s=end_s)


def _covered(stage: Stage) -> Script:
    lasts = float(stage.rng.uniform(1.0, 3.0))
    seed = int(stage.rng.integers(1 << 31))
    if stage.odd:  # something is taken behind the cover
        take_end = plain_take(stage, stage.start_s + 0.2)
        middle = stage.events[-1].at_s + float(stage.rng.uniform(-0.2, 0.4))
        from_s = max(0.35, middle - 0.5 * lasts)
        stage.lens.append(Lens("cover", from_s, from_s + lasts, 1.0, seed))
        stage.occupy(max(take_end, from_s + lasts))
    else:
        first = stage.rng.random() < 0.5
        at_s = plain_take(stage, stage.start_s) + stage.gap() if first else stage.start_s
        stage.lens.append(Lens("cover", at_s, at_s + lasts, 1.0, seed))
        stage.occupy(at_s + lasts)
        if not first:
            plain_take(stage, at_s + lasts + stage.gap())
    return end(stage)


def _restock(stage: Stage) -> Script:
    look = one_person(stage)
    at_s = stage.start_s
    for _ in range(int(stage.rng.integers(2, 5))):
        free = [i for i in range(len(stage.rows)) if stage.free_slot(i) >= 0]
        if not free:
            break
        facing = stage.pick(free)
        visit = Visit(stage, at_s, target=facing, manner=Manner(look=look))
        visit.bring(stage.add_item(stage.shelf.facings[facing].design))
        visit.put_back(facing, stage.free_slot(facing))
        at_s = visit.leave() + 0.5 * stage.gap()
    return stage.finish(role="restock")


def _open_rows(stage: Stage) -> None:
    """Leave room in front of some rows before a restock."""
    for facing in stage.rng.permutation(len(stage.rows))[:4]:
        slots = len(stage.shelf.facings[facing].slots_z_mm)
        if stage.free_slot(int(facing)) < 0:
            stage.restock_row(int(facing), design=None, slots=range(int(stage.rng.integers(1, slots + 1)), slots))


def _restock_prepared(stage: Stage) -> Script:
    _open_rows(stage)
    return _restock(stage)


def _dropped(stage: Stage) -> Script:
    at_s = maybe_distract(stage, stage.start_s, share=0.12)
    facing = stage.pick(stage.stocked())
    visit = Visit(stage, at_s, target=facing)
    visit.take(facing)
    visit.drop()
    at_s = visit.leave() + stage.gap()
    if stage.rng.random() < 0.3:
        plain_take(stage, at_s)
    return end(stage)


def _speed_extremes(stage: Stage) -> Script:
    shopper = stage.knobs.shopper
    draw = shopper.extreme_fast_m_s if stage.odd else shopper.extreme_slow_m_s
    at_s = stage.start_s
    for _ in range(2 if stage.odd else 1):
        facing = stage.pick(stage.stocked())
        visit = Visit(stage, at_s, target=facing, manner=Manner(peak_m_s=draw.draw(stage.rng)))
        visit.take(facing)
        at_s = visit.leave() + stage.gap()
    return end(stage)


def _reach_only(stage: Stage) -> Script:
    at_s = stage.start_s
    for _ in range(int(stage.rng.integers(2, 4))):
        thing = THINGS[int(stage.rng.integers(len(THINGS)))] if stage.rng.random() < 0.5 else None
        manner = Manner(thing=thing)
        end_s = touch(stage, at_s, manner=manner, touches=int(stage.rng.integers(1, 3)))
        at_s = end_s + stage.gap() if stage.rng.random() < 0.75 else at_s + 0.5 * (end_s - at_s)
    return end(stage)


_WRITERS: dict[str, Callable[[Stage], Script]] = {
    "basic": _basic,
    "look_and_return": _look_and_return,
    "misplaced": _misplaced,
    "take_again": _take_again,
    "several_units": _several_units,
    "both_hands": _both_hands,
    "two_people": _two_people,
    "hidden_by_hand": _hidden_by_hand,
    "look_alikes": _look_alikes,
    "swap_foreign": _swap_foreign,
    "unplanned": _unplanned,
    "reopened": _reopened,
    "shake": _shake,
    "covered": _covered,
    "restock": _restock_prepared,
    "dropped": _dropped,
    "speed_extremes": _speed_extremes,
    "reach_only": _reach_only,
}
SCENARIOS: tuple[str, ...] = tuple(_WRITERS)
"""Names of the scenarios, the ladder's order."""
