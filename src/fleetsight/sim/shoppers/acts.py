"""Acts that several scenarios share: a plain take, a reach that takes nothing, taking and returning, and choosing places for them."""

from fleetsight.sim.shoppers.scripts import Script, Thing
from fleetsight.sim.shoppers.sleeves import ArmLook, make_look
from fleetsight.sim.shoppers.stage import Stage
from fleetsight.sim.shoppers.visits import Manner, Visit

THINGS = (
    Thing("phone", (74.0, 152.0, 9.0), (18, 18, 22), (40, 70, 120)),
    Thing("phone", (70.0, 144.0, 9.0), (225, 225, 230), (15, 15, 18)),
    Thing("wallet", (108.0, 88.0, 20.0), (88, 56, 34), (60, 36, 22)),
    Thing("wallet", (100.0, 78.0, 18.0), (25, 25, 28), (60, 60, 64)),
    Thing("bag", (240.0, 280.0, 70.0), (196, 164, 116), (150, 118, 78)),
    Thing("bag", (220.0, 250.0, 60.0), (40, 96, 70), (220, 224, 210)),
)
TOGETHER_SHARE = 0.3
"""Of reaches that take nothing: the next act begins while they go on, another person's hand beside it."""


def plain_take(stage: Stage, at_s: float, *, manner: Manner | None = None, avoid: tuple[int, ...] = ()) -> float:
    """Take one product from anywhere, now and then with a look at it.

    Args:
        stage: the stage.
        at_s: when the hand sets out.
        manner: how.
        avoid: facings left out.

    Returns:
        When the hand has gone.
    """
    facing = stage.pick(stage.stocked(1, avoid) or stage.stocked())
    visit = Visit(stage, at_s, target=facing, manner=manner)
    visit.take(facing)
    if stage.rng.random() < 0.25:
        visit.look()
    return visit.leave()


def touch(stage: Stage, at_s: float, *, manner: Manner | None = None, touches: int = 1) -> float:
    """Reach to products, or towards them, and take nothing.

    Args:
        stage: the stage.
        at_s: when the hand sets out.
        manner: how.
        touches: products reached for.

    Returns:
        When the hand has gone.
    """
    facing = stage.pick(range(len(stage.rows)))
    visit = Visit(stage, at_s, target=facing, manner=manner)
    for _ in range(touches):
        visit.touch(facing, reach_share=float(stage.rng.choice([1.0, 1.0, 0.8, 0.6])))
        facing = stage.pick(range(len(stage.rows)))
    return visit.leave()


def maybe_distract(stage: Stage, at_s: float, *, share: float | None = None) -> float:
    """Reach and take nothing, now and then.

    Args:
        stage: the stage.
        at_s: when the hand would set out.
        share: of sessions; None takes the knob's.

    Returns:
        When the next act may begin.
    """
    chance = stage.knobs.shopper.distraction_share if share is None else share
    if stage.rng.random() >= chance:
        return at_s
    thing = THINGS[int(stage.rng.integers(len(THINGS)))] if stage.rng.random() < 0.3 else None
    gone_s = touch(stage, at_s, manner=Manner(thing=thing))
    if stage.rng.random() < TOGETHER_SHARE:
        return at_s + float(stage.rng.uniform(0.2, 0.8)) * (gone_s - at_s)
    return gone_s + stage.gap()


def end(stage: Stage) -> Script:
    """Finish; a session that would be short is mostly filled up with reaches that take nothing.

    Args:
        stage: the stage.

    Returns:
        The script.
    """
    fill = stage.rng.random() < 0.75
    while fill and stage.busy_until_s < stage.knobs.shopper.short_s:
        touch(stage, stage.busy_until_s + stage.gap())
    return stage.finish()


def one_person(stage: Stage) -> ArmLook:
    """Draw a person's right arm.

    Args:
        stage: the stage.

    Returns:
        Its looks.
    """
    return make_look(stage.rng, right=True, scale=stage.knobs.shopper.hand_scale.draw(stage.rng))


def take_and_return(stage: Stage, at_s: float, *, facing: int) -> float:
    """Take, look at it in view or outside the picture, put it back where it was.

    Args:
        stage: the stage.
        at_s: when the hand sets out.
        facing: where, stocked.

    Returns:
        When the hand has gone.
    """
    visit = Visit(stage, at_s, target=facing)
    item = visit.take(facing)[0]
    slot = item.slot
    if stage.rng.random() < 0.6:
        visit.look()
    else:
        at_s = visit.leave() + 0.5 + stage.gap()
        visit = Visit(stage, at_s, target=facing, manner=Manner(look=visit.look_of_arm))
        visit.bring(item)
    visit.put_back(facing, slot)
    return visit.leave()


def make_room(stage: Stage, design: int, *, source: int) -> tuple[int, int]:
    """Find a facing of another SKU with a free slot in front, cleared if need be before the session begins.

    Args:
        stage: the stage, before the first act.
        design: what is to be put there; places where it fits come first.
        source: a facing that stays as it is.

    Returns:
        facing: index of the facing.
        slot: the free slot.
    """
    other = [
        i for i, f in enumerate(stage.shelf.facings) if i != source and f.design != design and stage.fits(design, i)
    ]
    if not other:
        other = [i for i, f in enumerate(stage.shelf.facings) if i != source and f.design != design]
    free = [i for i in other if stage.free_slot(i) >= 0]
    target = stage.pick(free) if free and stage.rng.random() < 0.5 else stage.pick(other)
    slots = len(stage.shelf.facings[target].slots_z_mm)
    if stage.free_slot(target) < 0:
        first = int(stage.rng.integers(1, slots + 1))
        stage.restock_row(target, design=None, slots=range(first, slots))
    return target, max(0, stage.free_slot(target))


def same_beside(stage: Stage) -> list[tuple[int, int]]:
    """Neighbouring stocked facings of one SKU.

    Args:
        stage: the stage.

    Returns:
        Pairs of facings, left and right.
    """
    facings = stage.shelf.facings
    return [
        (i, i + 1)
        for i in range(len(facings) - 1)
        if facings[i].shelf == facings[i + 1].shelf
        and facings[i].design == facings[i + 1].design
        and stage.rows[i]
        and stage.rows[i + 1]
    ]


def narrow(stage: Stage, facing: int) -> bool:
    """Whether two of a facing's products fit into one hand.

    Args:
        stage: the stage.
        facing: index of the facing.

    Returns:
        True for slim products.
    """
    width, _, depth = stage.designs[stage.shelf.facings[facing].design].size_mm
    return width <= 90.0 and depth <= 76.0
