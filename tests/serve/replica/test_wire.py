"""What goes over the wire comes out as it went in, however it was cut; and nonsense is an error, not a hang."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.queueing.request import Answer, Outcome, Priority, Reason, Refusal, Request, Times
from fleetsight.serve.replica import wire
from fleetsight.serve.replica.replica import Facts
from fleetsight.serve.replica.wire import Kind, Reader, WireError

MESSAGES = st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=200)), max_size=10)
FLOATS = st.floats(0, 1e6, width=32)
ANSWERS = st.builds(
    Answer,
    st.binary(max_size=100),
    version=st.text(max_size=20),
    times=st.builds(Times, FLOATS, FLOATS, st.integers(1, 999)),
)
REFUSALS = st.builds(Refusal, st.sampled_from(list(Reason)), st.text(max_size=50), st.none() | st.floats(0, 1e6))


@given(messages=MESSAGES, cuts=st.lists(st.integers(1, 50)))
def test_messages_come_out_whole_however_they_were_cut(messages: list[tuple[Kind, bytes]], cuts: list[int]) -> None:
    data = b"".join(wire.message(kind, payload) for kind, payload in messages)
    reader = Reader()
    found: list[tuple[Kind, bytes]] = []
    at = 0
    for cut in [*cuts, len(data)]:
        found += reader.feed(data[at : at + cut])
        at += cut
    assert found == messages


@given(
    number=st.integers(0, 2**64 - 1),
    body=st.binary(max_size=100),
    left_ns=st.integers(-(2**40), 2**40),
    priority=st.sampled_from(list(Priority)),
)
def test_a_request_keeps_what_matters_and_its_deadline_moves_to_the_other_clock(
    number: int, body: bytes, left_ns: int, priority: Priority
) -> None:
    request = Request("m", body, 1000 + left_ns, priority=priority, number=number, score_min=0.25)
    head, sent = wire.request_parts(request, 1000)
    [(kind, payload)] = Reader().feed(head + bytes(sent))
    found = wire.read_request(payload, model="m", now_ns=77_000)
    assert kind is Kind.REQUEST
    assert (found.number, bytes(found.body), found.priority, found.score_min) == (number, body, priority, 0.25)
    assert (found.deadline_ns, found.arrived_ns) == (77_000 + left_ns, 77_000)


@given(number=st.integers(0, 2**64 - 1), outcome=ANSWERS | REFUSALS)
def test_outcomes_come_out_as_they_went_in(number: int, outcome: Outcome) -> None:
    [(kind, payload)] = Reader().feed(wire.outcome_message(number, outcome))
    assert wire.read_outcome(kind, payload) == (number, outcome)


def test_a_replica_introduces_itself() -> None:
    facts = Facts("v3", 8, 2, {1: 20.0, 8: 60.0})
    [(kind, payload)] = Reader().feed(wire.hello(facts))
    assert (kind, wire.read_hello(payload)) == (Kind.HELLO, facts)


def test_another_version_of_the_wire_is_refused() -> None:
    with pytest.raises(WireError, match="speaks wire 9"):
        wire.read_hello(b'{"format": 9}')


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00\x01", b"\xff\xff\xff\xff\x01", b"\x01\x00\x00\x00\xee"])
def test_messages_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(Reader().feed(data))


@given(payload=st.binary(max_size=60))
def test_nonsense_is_an_error_of_the_wire(payload: bytes) -> None:
    with contextlib.suppress(WireError):
        wire.read_request(payload, model="m", now_ns=0)
    for kind in (Kind.ANSWER, Kind.REFUSAL):
        with contextlib.suppress(WireError):
            wire.read_outcome(kind, payload)
    with contextlib.suppress(WireError):
        wire.number_of(payload)
    with pytest.raises(WireError):
        wire.read_hello(payload)
