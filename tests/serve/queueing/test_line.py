"""Who waits, who goes first, and who has to go when every place is taken."""

from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.queueing.batching import take_batch, useful_batch
from fleetsight.serve.queueing.line import Line
from fleetsight.serve.queueing.request import MS_NS, Priority
from tests.serve.queueing.drawn import START_NS, a_request

CLASSES = st.lists(st.sampled_from(list(Priority)), max_size=40)


@given(classes=CLASSES)
def test_higher_classes_go_first_and_nobody_is_overtaken_in_a_class(classes: list[Priority]) -> None:
    line = Line(1000)
    for priority in classes:
        assert line.push(a_request(priority=priority)) is None
    out = [line.pop() for _ in classes]
    order = [(request.priority, request.number) for request in out if request is not None]
    assert order == sorted(order)
    assert (len(order), line.pop(), len(line)) == (len(classes), None, 0)


@given(classes=CLASSES, places=st.integers(1, 10))
def test_a_full_line_lets_the_last_of_a_lower_class_go(classes: list[Priority], places: int) -> None:
    line = Line(places)
    kept = set()
    for priority in classes:
        request = a_request(priority=priority)
        kept.add(request)
        gone = line.push(request)
        if gone is not None:
            kept.discard(gone)
            assert gone is request or gone.priority > priority
    assert set(line) == kept
    assert len(line) == len(kept) <= places
    lost = sorted(classes)[len(kept) :]
    assert sorted(request.priority for request in kept) == sorted(classes)[: len(kept)] or not lost


def test_a_full_line_of_the_same_class_refuses_the_newcomer() -> None:
    line = Line(1)
    line.push(a_request())
    newcomer = a_request()
    assert line.push(newcomer) is newcomer


def test_what_comes_back_goes_to_the_front_even_when_the_line_is_full() -> None:
    line = Line(1)
    line.push(a_request())
    back = a_request()
    line.push_front(back)
    assert (len(line), line.pop()) == (2, back)


def test_late_requests_are_taken_out() -> None:
    line = Line(10)
    soon, later = a_request(deadline_ms=5), a_request(deadline_ms=50)
    line.push(soon)
    line.push(later)
    assert line.oldest_ns() == START_NS
    assert line.expire(START_NS + 5 * MS_NS) == [soon]
    assert list(line) == [later]
    assert not line.remove(soon)


def test_a_batch_takes_what_waits_and_leaves_out_what_is_late() -> None:
    line = Line(10)
    requests = [a_request(deadline_ms=ms) for ms in (1, 50, 1, 50, 50)]
    for request in requests:
        line.push(request)
    batch, late = take_batch(line, 2, now_ns=START_NS + 2 * MS_NS)
    assert batch == [requests[1], requests[3]]
    assert late == [requests[0], requests[2]]
    assert take_batch(Line(1), 2, now_ns=START_NS) == ([], [])


def test_batches_grow_only_while_they_gain() -> None:
    assert useful_batch(lambda batch: 20.0 * batch, 16) == 1  # a processor: no gain
    assert useful_batch(lambda batch: 10.0 + 0.1 * batch, 16) == 16  # an accelerator: all of it
    assert useful_batch(lambda batch: max(20.0, 5.0 * batch), 16) == 4  # full at four
    assert useful_batch(lambda _batch: 1.0, 6) == 6
