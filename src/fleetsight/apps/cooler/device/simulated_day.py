"""A simulated cooler's day: stock the shelf, publish it, invite a shopper, let them shop, and again.

The agent is the one of a real device. What is decided here is what people around a cooler decide: when the shelf is stocked, what the retailer
publishes, who comes next.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetsight.apps.cooler.device.agent import Agent, Backoff
from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.link.server_time import ServerTime
from fleetsight.apps.cooler.device.simulated import World
from fleetsight.apps.cooler.device.simulated_films import SEED_STRIDE, Film, Turn, film_of
from fleetsight.apps.cooler.device.simulated_retailer import Retailer, RetailerError, assortment_of

LOOK_S = 0.2
OF_THE_FILM = frozenset({"qr", "unlocked", "session_closed"})
"""Happenings that are printed with the truth about the shopper who is before the device."""
Say = Callable[[Mapping[str, Any]], None]
"""Takes one happening, as it is printed."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Who comes to a simulated cooler.

    Attributes:
        films_folder: where rendered sessions are kept.
        scenarios: take turns.
        seed: of the device.
        sessions: shoppers until closing time; 0 for no end.
        films: different sessions that are rendered; later shoppers repeat them.
        size_wh: picture size of the camera.
    """

    films_folder: Path
    scenarios: tuple[str, ...]
    seed: int = 1
    sessions: int = 0
    films: int = 6
    size_wh: tuple[int, int] = (640, 360)

    def turn(self, number: int) -> Turn:
        """What the next shopper does.

        Args:
            number: shoppers before.
        Returns:
            the session.
        """
        place = number % self.films
        return Turn(self.scenarios[place % len(self.scenarios)], self.seed * SEED_STRIDE + place, self.size_wh)

    def render(self, say: Say) -> None:
        """Render every session that will be needed, and its assortment; what is kept already is not drawn again.

        Args:
            say: hears of each one before it is drawn.
        """
        count = min(self.sessions, self.films) if self.sessions else self.films
        for number in range(count):
            turn = self.turn(number)
            say({"happening": "rendering", "film": turn.name, "number": number + 1, "of": count})
            film_of(turn, self.films_folder)
            assortment_of(turn, self.films_folder)


class SimulatedDay:
    """Runs a simulated cooler.

    Args:
        plan: who comes.
        world: the cooler.
        identity: the device.
        retailer: publishes shelves; None when somebody else does.
        say: hears of everything.
    """

    def __init__(self, plan: DayPlan, world: World, *, identity: Identity, retailer: Retailer | None, say: Say) -> None:
        self._plan = plan
        self._world = world
        self._identity = identity
        self._retailer = retailer
        self._say = say
        self._agent: Agent | None = None
        self._server_time: ServerTime | None = None
        self._shelf_due = threading.Event()

    def hear(self, happening: str, facts: Mapping[str, Any]) -> None:
        """Take what the agent tells, and pass it on with what only a simulation can know.

        Args:
            happening: its name.
            facts: about it.
        """
        film = self._world.film
        if happening == "session_closed":
            if self._agent is not None:
                self._agent.doorkeeper.close_shop()
            self._world.turn_over(served=facts["opened"])
            self._shelf_due.set()
        truth = truth_of(film) if film is not None and happening in OF_THE_FILM else {}
        self._tell(happening, {**facts, **truth})

    def run(self, agent: Agent, server_time: ServerTime, *, stop: threading.Event) -> bool:
        """Let shoppers come until closing time, then wait until the server has everything.

        Args:
            agent: not started yet; it tells what happens to `hear`.
            server_time: the server's clock.
            stop: ends the day early.
        Returns:
            whether every shopper came and everything is delivered.
        """
        self._agent, self._server_time = agent, server_time
        film = self._film()
        if film is not None:
            self._world.stock(film)
        agent.start()
        if self._world.interrupted and agent.doorkeeper.session_id is None:  # died between closing and noting it
            self._world.turn_over()
        if agent.doorkeeper.session_id is None:
            self._shelf_due.set()
        while not stop.is_set() and not self._over:
            if self._shelf_due.wait(LOOK_S):
                self._shelf_due.clear()
                self._stock(agent, stop)
        while not stop.is_set() and not agent.all_delivered:
            stop.wait(LOOK_S)
        self._tell("day_over", {"sessions": self._world.turns_done, "all_delivered": agent.all_delivered})
        return self._over and agent.all_delivered

    @property
    def _over(self) -> bool:
        return bool(self._plan.sessions) and self._world.turns_done >= self._plan.sessions

    def _film(self) -> Film | None:
        if self._over:
            return None
        return film_of(self._plan.turn(self._world.turns_done), self._plan.films_folder)

    def _stock(self, agent: Agent, stop: threading.Event) -> None:
        """Stock and publish the next shelf, then open the shop."""
        film = self._film()
        if film is None:
            return
        self._world.stock(film)
        if self._retailer is not None and not self._publish(self._retailer, film, stop):
            return
        self._tell("stocked", truth_of(film))
        agent.doorkeeper.open_shop()

    def _publish(self, retailer: Retailer, film: Film, stop: threading.Event) -> bool:
        backoff = Backoff()
        while not stop.is_set():
            try:
                retailer.publish(self._identity, film, folder=self._plan.films_folder)
                return True
            except RetailerError as error:
                LOG.warning("not published: %s", error)
                self._tell("not_published", {"error": error.message})
                stop.wait(backoff.next_s())
        return False

    def _tell(self, happening: str, facts: Mapping[str, Any]) -> None:
        at_ns = self._server_time.now_ns() if self._server_time is not None else 0
        self._say({"happening": happening, "at_ns": at_ns, "device_id": self._identity.device_id, **facts})


def truth_of(film: Film) -> dict[str, Any]:
    """What a session should come to.

    Args:
        film: the session.
    Returns:
        scenario, seed, basket, decision and price.
    """
    return {
        "scenario": film.turn.scenario,
        "seed": film.turn.seed,
        "expected_basket": film.basket,
        "expected_decision": film.decision,
        "expected_minor": film.expected.minor,
        "currency": film.currency,
    }
