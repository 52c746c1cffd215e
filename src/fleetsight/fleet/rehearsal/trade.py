"""Simulated coolers and shoppers that trade with a real service, which runs below this process.

    supervisor -> API, workers, one device agent per cooler
    a cooler shows a code -> a shopper's thread redeems it -> the door opens, the cooler films -> receipt

Everything but lock, camera and shoppers is what serves real customers, and all of it talks over HTTP.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

import httpx

from fleetsight.apps.cooler.device.simulated_retailer import Retailer
from fleetsight.apps.cooler.device.simulated_shopper import Purchase, Shopper, ShopperError, buy, register, top_up
from fleetsight.errors import Error
from fleetsight.fleet.processes.supervisor import ChildPlan, Supervisor
from fleetsight.fleet.processes.tree import PROGRAM, service_plans
from fleetsight.money import Money

LOG = logging.getLogger(__name__)

SCENARIOS = (
    "basic,look_and_return,several_units",
    "basic,misplaced,look_alikes",
    "basic,several_units,two_people",
)
"""What shoppers do at each cooler, in turns: plain purchases among some that are known to be hard."""
POCKET_MINOR = 5_000
"""What a customer pays into the wallet before each visit: more than any hold, so that no session fails for lack of money."""
STROLL_S = 8.0
"""Between two shoppers of a cooler. Real ones stand shut for most of the day; three that film without a pause ask for more than two cores
can look at, and everybody's receipt would stand in a queue that only grows."""
COOLER_NICE = 5
"""Coolers are other machines: here they give way to requests, and workers to both."""
READY_S = 120.0
READY_LOOK_S = 0.1


class TradeError(Error):
    """The service below this process did not come up."""

    code = "trade"


@dataclass(frozen=True)
class TradePlan:
    """What is played.

    Attributes:
        coolers: how many.
        sessions: shoppers in all; 0 for no end.
        films_dir: where rendered sessions are kept for the next time.
        link: bad lines of the coolers, as `fleetsight device run --link` takes them; empty for good ones.
        films: different sessions of each cooler, when there is no end.
        patience_s: how long a shopper waits for an end.
    """

    coolers: int
    sessions: int
    films_dir: Path
    link: str = ""
    films: int = 4
    patience_s: float = 600.0

    def sessions_of(self, cooler: int) -> int:
        """Shoppers of one cooler; they are spread evenly.

        Args:
            cooler: its number, from 0.
        Returns:
            how many; 0 for no end, or none at all.
        """
        return self.sessions // self.coolers + (cooler < self.sessions % self.coolers)


@dataclass(frozen=True)
class Premises:
    """Where it is played.

    Attributes:
        folder: of the whole installation.
        base_url: of the service.
        environ: of every process.
        listening: the socket of the service.
        workers: processes that settle.
        operator_token: of an administrator.
    """

    folder: Path
    base_url: str
    environ: Mapping[str, str] = field(repr=False)
    listening: socket
    workers: int
    operator_token: str = field(repr=False)


@dataclass
class _Cooler:
    """A cooler, its regular customer, and that customer's visit."""

    name: str
    customer: Shopper | None = None
    visit: threading.Thread | None = None
    inviting: bool = True


Tell = Callable[[str, Purchase], None]


class Trade:
    """The service, its coolers and their shoppers.

    Args:
        plan: what is played.
        premises: where.
        tell: hears of each purchase that came to an end, with the name of its cooler.
    """

    def __init__(self, plan: TradePlan, premises: Premises, *, tell: Tell) -> None:
        self._plan = plan
        self._premises = premises
        self._tell = tell
        self._coolers = {f"cooler-{number + 1}": _Cooler(f"cooler-{number + 1}") for number in range(plan.coolers)}
        self._visits: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._welcome = True
        self._purchases: list[Purchase] = []
        self._refused: list[ShopperError] = []
        logs = premises.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self.supervisor = Supervisor(
            service_plans(premises.environ, premises.listening, workers=premises.workers, logs=logs)
        )

    @property
    def purchases(self) -> list[Purchase]:
        """Purchases that came to an end, or to the end of a shopper's patience."""
        with self._lock:
            return list(self._purchases)

    @property
    def refused(self) -> list[ShopperError]:
        """Shoppers who could not begin, or lost sight of their session."""
        with self._lock:
            return list(self._refused)

    @property
    def finished(self) -> bool:
        """Whether every shopper came, and went with an end."""
        coolers = all(self.supervisor.finished(name) for name in self._open_coolers())
        return bool(self._plan.sessions) and coolers and not any(thread.is_alive() for thread in self._visits)

    def open(self) -> None:
        """Start the service and the coolers.

        Raises:
            TradeError: the service did not come up.
        """
        self.supervisor.start()
        self._await_ready()
        retailer = Retailer(self._premises.base_url, self._premises.operator_token)
        try:
            for number, name in enumerate(self._open_coolers()):
                _, claim = retailer.add_device(name, site_id=retailer.add_site(f"site of {name}"))
                self.supervisor.add(self._device_plan(number, name, claim))
        finally:
            retailer.close()

    def close_doors(self) -> None:
        """Let nobody in any more; who is there may finish."""
        self._welcome = False

    def close(self) -> None:
        """End every process. Shoppers who are still there are left alone; their threads end with this process."""
        self.supervisor.end()

    def _open_coolers(self) -> list[str]:
        numbered = enumerate(self._coolers)
        return [name for number, name in numbered if not self._plan.sessions or self._plan.sessions_of(number)]

    def _await_ready(self) -> None:
        limit_s = time.monotonic() + READY_S
        reason = "no answer"
        with httpx.Client(base_url=self._premises.base_url, timeout=5.0, trust_env=False) as client:
            while time.monotonic() < limit_s:
                self.supervisor.tend()
                try:
                    answer = client.get("/readyz")
                    if answer.status_code == httpx.codes.OK:
                        return
                    reason = answer.text
                except httpx.TransportError as error:
                    reason = f"{type(error).__name__}: {error}"
                time.sleep(READY_LOOK_S)
        raise TradeError(f"the service was not ready within {READY_S:.0f} s: {reason}", hint="read what it logged")

    def _device_plan(self, number: int, name: str, claim: str) -> ChildPlan:
        sessions = self._plan.sessions_of(number) if self._plan.sessions else 0
        options = {
            "--data": str(self._premises.folder / name),
            "--server": self._premises.base_url,
            "--claim": claim,
            "--operator-token": self._premises.operator_token,
            "--scenario": SCENARIOS[number % len(SCENARIOS)],
            "--seed": str(number + 1),
            "--sessions": str(sessions),
            "--films": str(sessions or self._plan.films),
            "--films-dir": str(self._plan.films_dir),
        } | ({"--link": self._plan.link} if self._plan.link else {})
        words = [word for option in options.items() for word in option]
        return ChildPlan(
            name,
            (*PROGRAM, "device", "run", "--sim", "--json", *words),
            self._premises.environ,
            nice=COOLER_NICE,
            log=self._logs / f"{name}.log",
            may_finish=True,
            hear=lambda line: self._hear(self._coolers[name], line),
        )

    def _hear(self, cooler: _Cooler, line: bytes) -> None:
        """Take what a device prints: a code is an invitation, a closed session makes room for the next shopper."""
        try:
            said = json.loads(line)
            happening = said["happening"]
        except (ValueError, KeyError, TypeError):
            LOG.warning("not understood cooler=%s line=%r", cooler.name, line[:200])
            return
        if happening == "session_closed":
            cooler.inviting = True
        elif (
            happening == "qr" and self._welcome and (cooler.inviting or not (cooler.visit and cooler.visit.is_alive()))
        ):
            cooler.inviting = False
            cooler.visit = threading.Thread(target=self._shop, args=(cooler, said), daemon=True)
            self._visits.append(cooler.visit)
            cooler.visit.start()

    def _shop(self, cooler: _Cooler, said: Mapping[str, Any]) -> None:
        url = self._premises.base_url
        expected = Money(int(said["expected_minor"]), str(said["currency"]))
        try:
            if cooler.customer is not None:
                time.sleep(STROLL_S)  # the code they saw lasts for a minute
            else:
                cooler.customer = register(url, f"customer of {cooler.name}")
            token = cooler.customer.token
            top_up(url, token, amount=Money(max(POCKET_MINOR, expected.minor), expected.currency))
            wait_s = self._plan.patience_s
            bought = buy(url, str(said["token"]), shopper_token=token, expected=expected, wait_s=wait_s)
        except ShopperError as error:
            LOG.warning("shopper refused cooler=%s reason=%s", cooler.name, error)
            with self._lock:
                self._refused.append(error)
            return
        with self._lock:
            self._purchases.append(bought)
        self._tell(cooler.name, bought)
