"""A request with a key, cut short anywhere: whoever sends it again gets its answer at once, and one effect."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

import fleetsight.web
from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.people import Role
from fleetsight.store import idempotency
from fleetsight.store.crashpoint import Crash, SimulatedCrashError, arm, disarm
from fleetsight.web.idempotent import once, once_within
from tests.web.world import Company, World

TOP_UPS, SESSIONS = "/v1/shopper/top-ups", "/v1/shopper/sessions"
Send = Callable[[World, Company], httpx.Response]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def money_of(world: World, company: Company) -> int:
    wallet = world.services.wallet
    assert wallet is not None
    return wallet.balance(company.tenant_id, company.shopper.shopper_id, currency="EUR").minor


def top_up(world: World, company: Company) -> httpx.Response:
    body, headers = {"amount_minor": 100, "currency": "EUR"}, {"Idempotency-Key": "k"}
    return world.as_holder(company.shopper_token, "POST", TOP_UPS, json=body, headers=headers)


def redeeming(world: World, company: Company) -> Send:
    """The same scan, however often it is sent."""
    code = company.machine.qr()

    def send(world: World, company: Company) -> httpx.Response:
        headers = {"Idempotency-Key": "k"}
        return world.as_holder(company.shopper_token, "POST", SESSIONS, json={"qr_token": code}, headers=headers)

    return send


class FailingDisk:
    """Lets the statement of one number in its kind fail as a disk does, once."""

    def __init__(self, world: World, statement: str, number: int) -> None:
        self._statement = re.compile(statement)
        self._left = number
        sa.event.listen(world.rows.engine, "before_cursor_execute", self._look)

    def _look(self, _connection: sa.Connection, _cursor: DBAPICursor, statement: str, *_: object) -> None:
        if self._left and self._statement.match(statement):
            self._left -= 1
            if not self._left:
                raise sa.exc.OperationalError(statement, None, OSError(5, "disk I/O error"))

    @property
    def failed(self) -> bool:
        return self._left == 0


@pytest.mark.parametrize("number", range(1, 4))
def test_a_top_up_that_a_fault_of_the_disk_cut_short_is_asked_again_at_once_and_counts_once(
    world: World, company: Company, number: int
) -> None:
    before = money_of(world, company)
    disk = FailingDisk(world, "INSERT|UPDATE answers", number)
    assert top_up(world, company).status_code == 503
    assert disk.failed
    answer = top_up(world, company)
    assert answer.status_code == 201
    assert answer.json()["balance"]["minor"] == money_of(world, company) == before + 100


@pytest.mark.parametrize("number", range(1, 26, 3))
def test_a_scan_that_a_fault_of_the_disk_cut_short_is_asked_again_at_once_and_is_one_session(
    world: World, company: Company, number: int
) -> None:
    send = redeeming(world, company)
    disk = FailingDisk(world, "INSERT|UPDATE", number)
    assert (send(world, company).status_code == 503) == disk.failed
    answer = send(world, company)
    assert answer.status_code in (200, 201)
    with world.rows.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM sessions")).scalar() == 1
    assert world.services.work.hurry(answer.json()["session_id"]).payment.held_minor == 2500


@pytest.mark.parametrize("point", ["answers.begun", "answers.acted"])
def test_a_process_that_died_within_a_request_leaves_it_to_be_asked_again(
    world: World, company: Company, point: str
) -> None:
    before = money_of(world, company)
    arm(point, how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        top_up(world, company)
    with world.rows.transaction() as connection:  # what the next life of the API does first
        assert idempotency.abandon_all(connection) == 1
    world.clock.advance(SECOND_NS)
    assert top_up(world, company).status_code == 201
    assert money_of(world, company) == before + 100


def test_a_scan_is_found_again_when_its_code_is_old_and_its_cooler_silent(world: World, company: Company) -> None:
    send = redeeming(world, company)
    arm("answers.acted", how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        send(world, company)
    with world.rows.transaction() as connection:
        idempotency.abandon_all(connection)
    world.clock.advance(3600 * SECOND_NS)
    answer = send(world, company)
    assert answer.status_code == 200
    _, other = world.another_shopper(company)
    company.shopper_token = other
    assert send(world, company).status_code == 410


def test_a_fault_in_the_transaction_of_effect_and_answer_keeps_neither(world: World, company: Company) -> None:
    """Objections, verdicts and refunds go through `once_within`."""
    session_id = world.seen_session(company, verdict=Verdict.REVIEW)
    reviewer, version = company.tokens[Role.REVIEWER], world.session(session_id).version
    body = {"version": version, "action": "accept", "reason_code": "as_proposed"}
    path, headers = f"/v1/operator/sessions/{session_id}/decision", {"Idempotency-Key": "k"}
    disk = FailingDisk(world, "UPDATE answers", 1)
    assert world.as_holder(reviewer, "POST", path, json=body, headers=headers).status_code == 503
    assert disk.failed
    assert world.session(session_id).version == version
    first = world.as_holder(reviewer, "POST", path, json=body, headers=headers)
    again = world.as_holder(reviewer, "POST", path, json=body, headers=headers)
    assert first.status_code == 200, first.text
    assert first.json() == again.json()


def test_every_request_with_a_key_is_met_by_these_tests() -> None:
    """A new caller of `once` has to find its own effect, and to be tried here; `once_within` finds it by its transaction."""
    (folder,) = fleetsight.web.__path__
    text = "\n".join(path.read_text() for path in sorted(Path(folder).rglob("*.py")))
    assert len(re.findall(rf"\b{once.__name__}\(services, request, act=act\)", text)) == 2  # top-ups, sessions
    assert len(re.findall(rf"\b{once_within.__name__}\(services, request, act=act\)", text)) == 3
