"""A simulated cooler's day, with the agent of a real device, against a service on a real socket."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleetsight.apps.cooler.device.agent import Agent
from fleetsight.apps.cooler.device.identity import load_or_make_key, public_key_b64
from fleetsight.apps.cooler.device.link.tokens import Signer
from fleetsight.apps.cooler.device.link.uplink import Uplink
from fleetsight.apps.cooler.device.simulated import NoFaces, SimulatedCamera, SimulatedLock, World
from fleetsight.apps.cooler.device.simulated_day import DayPlan, SimulatedDay
from fleetsight.apps.cooler.device.simulated_films import Turn
from fleetsight.apps.cooler.device.simulated_retailer import Retailer
from fleetsight.apps.cooler.device.simulated_shopper import buy, register
from fleetsight.apps.cooler.device.station import Hardware, Station
from fleetsight.clock import SystemClock
from fleetsight.money import Money
from tests.apps.cooler.device.fake_server import CLAIM, OPERATOR, FakeService, Problem, running

SIZE_WH = (160, 90)


def test_turns_follow_from_scenarios_seed_and_films(tmp_path: Path) -> None:
    plan = DayPlan(tmp_path, ("basic", "shake"), seed=2, films=3)
    turns = [plan.turn(number) for number in range(5)]
    assert turns[:3] == [Turn("basic", 20_000), Turn("shake", 20_001), Turn("basic", 20_002)]
    assert turns[3:] == turns[:2]


@pytest.fixture(scope="module")
def short_day(tmp_path_factory: pytest.TempPathFactory) -> DayPlan:
    """One shopper, rendered."""
    said: list[Mapping[str, Any]] = []
    folder = tmp_path_factory.mktemp("films")
    plan = DayPlan(folder, ("look_and_return",), seed=5, sessions=1, films=6, size_wh=SIZE_WH)
    plan.render(said.append)
    assert [line["film"] for line in said] == [plan.turn(0).name]
    return plan


def test_everything_that_will_be_needed_is_rendered_before_the_shop_opens(short_day: DayPlan) -> None:
    assert {path.suffix for path in short_day.films_folder.iterdir()} == {".mp4", ".json", ".tar"}


@pytest.mark.slow
def test_shoppers_come_buy_and_go_until_closing_time(tmp_path: Path) -> None:
    fake = FakeService()
    fake.refuse = failing_once("/v1/operator/sites")
    plan = DayPlan(tmp_path / "films", ("basic", "look_and_return"), 6, sessions=2, films=2, size_wh=SIZE_WH)
    plan.render(lambda _line: None)
    said: list[dict[str, Any]] = []
    with running(fake):
        fake.baskets = lambda session: next(
            line["expected_basket"] for line in said if line.get("session_id") == session.session_id
        )
        shoppers: list[threading.Thread] = []
        bought = []

        def say(line: Mapping[str, Any]) -> None:
            said.append(dict(line))
            if line["happening"] == "qr":
                shoppers.append(threading.Thread(target=shop, args=(dict(line),)))
                shoppers[-1].start()

        def shop(line: dict[str, Any]) -> None:
            shopper = register(fake.url, "Ada")
            expected = Money(line["expected_minor"], line["currency"])
            bought.append(buy(fake.url, line["token"], shopper_token=shopper.token, expected=expected))

        assert run_day(fake, plan, tmp_path / "device", say)
        for thread in shoppers:
            thread.join()
    assert [purchase.stage for purchase in bought] == ["receipt", "receipt"]
    assert not any(purchase.wrong for purchase in bought)
    assert bought[0].charged is not None
    assert bought[0].charged.minor > 0
    kinds = [line["happening"] for line in said]
    assert kinds.count("stocked") == 2
    assert kinds.count("not_published") == 1
    assert kinds[-1] == "day_over"
    codes = [line for line in said if line["happening"] == "qr"]
    assert [line["scenario"] for line in codes] == ["basic", "look_and_return"]
    closed = [kinds.index("session_closed"), len(kinds) - 1 - kinds[::-1].index("qr")]
    assert closed == sorted(closed), "no code of the next shelf is shown before it is published"


def failing_once(path: str) -> Any:
    left = [Problem(503, "busy")]
    return lambda _method, asked: left.pop() if asked.startswith(path) and left else None


def run_day(fake: FakeService, plan: DayPlan, folder: Path, say: Any) -> bool:
    key, clock = load_or_make_key(folder), SystemClock()
    enrolling = Uplink(fake.url, clock)
    identity = enrolling.enrol(CLAIM, public_key_b64(key))
    enrolling.close()
    signer = Signer(identity, key)
    uplink = Uplink(fake.url, clock, signer=signer)
    world, retailer = World(folder, pace=3.0), Retailer(fake.url, OPERATOR)
    day = SimulatedDay(plan, world, identity=identity, retailer=retailer, say=say)
    camera = SimulatedCamera(world)
    hardware = Hardware(SimulatedLock(world), (camera,), NoFaces())
    station = Station.open(folder, hardware, server_time=uplink.server_time, tell=day.hear)
    agent = Agent(station, uplink, signer=signer)
    stop = threading.Event()
    watchdog = threading.Timer(120, stop.set)
    watchdog.start()
    finished = day.run(agent, uplink.server_time, stop=stop)
    watchdog.cancel()
    agent.stop()
    camera.close()
    retailer.close()
    return finished


def test_a_day_ends_early_when_told_to(tmp_path: Path, short_day: DayPlan) -> None:
    fake = FakeService()
    said: list[str] = []
    with running(fake):
        key, clock = load_or_make_key(tmp_path), SystemClock()
        enrolling = Uplink(fake.url, clock)
        identity = enrolling.enrol(CLAIM, public_key_b64(key))
        enrolling.close()
        uplink = Uplink(fake.url, clock, signer=Signer(identity, key))
        world = World(tmp_path)
        day = SimulatedDay(
            short_day, world, identity=identity, retailer=None, say=lambda line: said.append(line["happening"])
        )
        hardware = Hardware(SimulatedLock(world), (SimulatedCamera(world),))
        station = Station.open(tmp_path, hardware, server_time=uplink.server_time, tell=day.hear)
        agent = Agent(station, uplink, signer=Signer(identity, key))
        stop = threading.Event()
        ended: list[bool] = []
        runner = threading.Thread(target=lambda: ended.append(day.run(agent, uplink.server_time, stop=stop)))
        runner.start()
        while "qr" not in said:
            time.sleep(0.01)
        stop.set()
        runner.join()
        agent.stop()
    assert ended == [False]
    assert fake.shelves == []  # nobody publishes without a retailer
