"""A name is held by one process at a time, and the work of the dead is handed on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.store.lease import LEASE_S, Executors, Lease, LeaseLostError, check
from fleetsight.store.rows import Rows
from tests.store.conftest import NOON_NS


@pytest.fixture
def executors(rows: Rows, clock: VirtualClock) -> Executors:
    return Executors(rows, clock)


def held(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def passes(rows: Rows, lease: Lease) -> bool:
    try:
        with rows.transaction() as connection:
            check(connection, lease)
    except LeaseLostError:
        return False
    return True


def test_a_name_is_held_for_fifteen_seconds(executors: Executors) -> None:
    lease = held(executors.acquire("worker-0"))
    assert lease == Lease("worker-0", token=1, until_ns=NOON_NS + 15 * SECOND_NS)
    assert lease.executor_id == "worker-0.1"
    assert executors.live() == {"worker-0.1"}


def test_a_name_that_is_held_is_not_given_to_a_second(executors: Executors, clock: VirtualClock) -> None:
    executors.acquire("worker-0")
    clock.advance(LEASE_S * SECOND_NS - 1)
    assert executors.acquire("worker-0") is None
    assert held(executors.acquire("worker-1")).token == 1


def test_a_silent_holder_is_followed_by_one_with_a_higher_number(
    rows: Rows, executors: Executors, clock: VirtualClock
) -> None:
    first = held(executors.acquire("worker-0"))
    clock.advance(LEASE_S * SECOND_NS)
    second = held(executors.acquire("worker-0"))
    assert second.token > first.token
    assert [passes(rows, first), passes(rows, second)] == [False, True]


def test_a_supervisor_takes_over_from_a_holder_it_knows_to_be_dead(rows: Rows, executors: Executors) -> None:
    first = held(executors.acquire("worker-0"))
    second = held(executors.acquire("worker-0", take_over=True))
    assert executors.live() == {second.executor_id} != {first.executor_id}
    assert [passes(rows, first), passes(rows, second)] == [False, True]


def test_renewing_moves_the_end(executors: Executors, clock: VirtualClock) -> None:
    lease = held(executors.acquire("worker-0"))
    clock.advance(10 * SECOND_NS)
    renewed = executors.renew(lease)
    assert renewed == Lease("worker-0", lease.token, NOON_NS + 25 * SECOND_NS)
    clock.advance(10 * SECOND_NS)
    assert executors.expired() == []
    clock.advance(5 * SECOND_NS)
    assert executors.expired() == [renewed]


def test_a_holder_that_only_slept_may_renew_while_nobody_noticed(executors: Executors, clock: VirtualClock) -> None:
    lease = held(executors.acquire("worker-0"))
    clock.advance(60 * SECOND_NS)
    assert executors.renew(lease).token == lease.token


@pytest.mark.parametrize("how", ["taken", "revoked"])
def test_a_lost_lease_is_not_renewed_and_passes_no_fence(
    rows: Rows, executors: Executors, clock: VirtualClock, how: str
) -> None:
    lease = held(executors.acquire("worker-0"))
    clock.advance(LEASE_S * SECOND_NS)
    assert executors.revoke(lease) if how == "revoked" else executors.acquire("worker-0")
    with pytest.raises(LeaseLostError, match=r"worker-0\.1") as caught:
        executors.renew(lease)
    assert caught.value.hint
    assert not passes(rows, lease)


def test_a_fence_for_a_name_that_was_never_held_does_not_pass(rows: Rows) -> None:
    assert not passes(rows, Lease("nobody", 1, NOON_NS))


def test_a_holder_that_renewed_is_not_revoked(rows: Rows, executors: Executors, clock: VirtualClock) -> None:
    executors.acquire("worker-0")
    clock.advance(LEASE_S * SECOND_NS)
    (silent,) = executors.expired()
    executors.renew(silent)
    assert not executors.revoke(silent)
    assert passes(rows, silent)


def test_revoking_twice_is_harmless(executors: Executors, clock: VirtualClock) -> None:
    lease = held(executors.acquire("worker-0"))
    clock.advance(LEASE_S * SECOND_NS)
    assert [executors.revoke(lease), executors.revoke(lease)] == [True, False]
    assert executors.expired() == []
    assert held(executors.acquire("worker-0")).token == 3


def test_a_name_that_was_released_is_free_at_once(executors: Executors) -> None:
    lease = held(executors.acquire("worker-0"))
    executors.release(lease)
    assert (executors.live(), executors.expired()) == (set(), [])
    assert held(executors.acquire("worker-0")).token == 2


def test_releasing_a_lost_lease_does_not_touch_the_new_holder(executors: Executors) -> None:
    first = held(executors.acquire("worker-0"))
    second = held(executors.acquire("worker-0", take_over=True))
    executors.release(first)
    assert executors.live() == {second.executor_id}


def test_of_many_who_want_a_name_one_gets_it(executors: Executors) -> None:
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _: executors.acquire("worker-0"), range(16)))
    assert sum(lease is not None for lease in leases) == 1


def test_nobody_takes_the_name_while_a_fenced_transaction_runs(rows: Rows, executors: Executors) -> None:
    lease = held(executors.acquire("worker-0"))
    order: list[str] = []

    def take_over() -> None:
        executors.acquire("worker-0", take_over=True)
        order.append("taken")

    with ThreadPoolExecutor(1) as other:
        with rows.transaction() as connection:
            check(connection, lease)
            taking = other.submit(take_over)
            check(connection, lease)
            order.append("effect")
        taking.result(timeout=60)
    assert order == ["effect", "taken"]
