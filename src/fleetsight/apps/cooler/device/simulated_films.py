"""Rendered sessions as films that a simulated camera plays: drawn once, kept on disk, so that trading costs no rendering.

A film is encoded far better (`FILM_CRF`) than the device will encode it, so that what the device records is as good as if it had seen the
rendered pictures themselves.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetsight.apps.cooler.device.durable import make_folder, read_json, write_json
from fleetsight.money import Money
from fleetsight.sim.session import SessionPlan, plan_session, render
from fleetsight.sim.truth import CURRENCY, session_truth
from fleetsight.video.encode import write_clip

FILM_CRF = 10
SEED_STRIDE = 10_000
"""Turn i of a device with seed s plays the session of seed s * SEED_STRIDE + i, as scored suites do (evaluate.score)."""
HANDS_OUT_S = 0.15  # a shopper lets the door go so long after the last hand is out
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """Which session a simulated device plays next.

    Attributes:
        scenario: one of `sim.shoppers.scenarios.SCENARIOS`.
        seed: chooses everything that the scenario leaves open.
        size_wh: picture size.
    """

    scenario: str
    seed: int
    size_wh: tuple[int, int] = (640, 360)

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.scenario}-{self.seed}-{self.size_wh[0]}x{self.size_wh[1]}"

    def plan(self) -> SessionPlan:
        """Draw the world of the session."""
        return plan_session(self.scenario, self.seed, size_wh=self.size_wh)


@dataclass(frozen=True, slots=True)
class Film:
    """A session ready to be played.

    Attributes:
        turn: which session.
        clip: the pictures, in time from 0.
        end_s: length.
        shut_s: spans in which the door is shut, in order; the last one has no end within the film.
        basket: what is really taken, units by SKU.
        decision: what a careful person would do: charge, review or release.
        prices: minor units by SKU, of the whole catalog.
        currency: of the prices.
    """

    turn: Turn
    clip: Path
    end_s: float
    shut_s: tuple[tuple[float, float], ...]
    basket: dict[str, int]
    decision: str
    prices: dict[str, int]
    currency: str = CURRENCY

    @property
    def expected(self) -> Money:
        """The price of the basket."""
        return Money(sum(count * self.prices[sku] for sku, count in self.basket.items()), self.currency)

    def door_open(self, at_s: float) -> bool:
        """Whether the door is open.

        Args:
            at_s: seconds since the film's start; the door opens there.
        Returns:
            True while it is.
        """
        return at_s >= 0 and not any(from_s <= at_s < to_s for from_s, to_s in self.shut_s)


def film_of(turn: Turn, folder: Path) -> Film:
    """A film; rendered when the folder does not hold it yet.

    Args:
        turn: which session.
        folder: where films are kept; made when missing, and may be shared by devices.
    Returns:
        the film.
    """
    make_folder(folder)
    clip, facts_path = folder / f"{turn.name}.mp4", folder / f"{turn.name}.json"
    kept = read_json(facts_path)
    if kept is None or kept.get("format") != FORMAT or not clip.is_file():
        plan = turn.plan()
        write_clip(clip, (frame.image for frame in render(plan)), rate_hz=plan.rate_hz, crf=FILM_CRF)
        kept = facts_of(plan)
        write_json(facts_path, kept)
    return Film(
        turn=turn,
        clip=clip,
        end_s=float(kept["end_s"]),
        shut_s=tuple((float(from_s), float(to_s)) for from_s, to_s in kept["shut_s"]),
        basket=dict(kept["basket"]),
        decision=str(kept["decision"]),
        prices=dict(kept["prices"]),
    )


def facts_of(plan: SessionPlan) -> dict[str, Any]:
    """What is to be known about a film besides its pictures.

    Args:
        plan: the session.
    Returns:
        what `film_of` writes beside the clip.
    """
    truth = session_truth(plan)
    end_s = plan.frame_count / float(plan.rate_hz)
    doors = [(lens.from_s, lens.to_s) for lens in plan.script.lens if lens.kind == "door"]
    if not doors or doors[-1][1] < end_s:  # the script leaves the door open: it is shut when the last hand is out
        out_s = max((arm.keys[-1].at_s for arm in plan.script.arms), default=0.0) + HANDS_OUT_S
        doors.append((max(min(out_s, end_s), *(to_s for _, to_s in doors), 0.0), end_s))
    doors[-1] = (doors[-1][0], float(10**9))
    return {
        "format": FORMAT,
        "end_s": end_s,
        "shut_s": doors,
        "basket": truth.basket,
        "decision": truth.decision,
        "prices": {design.sku: design.price_minor for design in plan.catalog},
    }
