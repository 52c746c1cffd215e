"""Children that take turns, with a little program in their place."""

import sys
from contextlib import ExitStack
from typing import Any

import pytest

from fleetsight.accel.measure import rounds
from fleetsight.accel.measure.rounds import Child, ChildError, Turns, open_all, ratios, take_turns

PROGRAM = """
import json, os, sys
order = open(sys.argv[1], "a")
name = ""
for count, line in enumerate(sys.stdin):
    request = json.loads(line)
    name = request.get("name", name)
    if request.get("die"):
        os._exit(7)
    if request.get("refuse") == name:
        answer = {"error": {"code": "x", "message": "will not", "hint": "ask nicely"}}
    else:
        answer = {"count": count, "deep": {"figure": count * 10}}
    print(name, file=order, flush=True)
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def command(tmp_path: Any) -> tuple[str, ...]:
    return (sys.executable, "-c", PROGRAM, str(tmp_path / "order"))


def test_children_take_turns(command: tuple[str, ...], tmp_path: Any) -> None:
    with Child({"name": "a"}, command=command) as one, Child({"name": "b"}, command=command) as two:
        found = take_turns({"a": one, "b": two}, {"do": "it"}, rounds=3)
    assert (tmp_path / "order").read_text().split() == ["a", "b", *"ababab"]
    first = found["a"]
    assert isinstance(first, Turns)
    assert first.values("deep", "figure") == [10.0, 20.0, 30.0]
    assert first.middle("count") == 2.0
    assert first.ready["count"] == 0


def test_one_that_fails_drops_out_and_the_others_go_on(command: tuple[str, ...]) -> None:
    with Child({"name": "a"}, command=command) as one, Child({"name": "b"}, command=command) as two:
        found = take_turns({"a": one, "b": two}, {"refuse": "a"}, rounds=3)
    assert isinstance(found["a"], ChildError)
    assert (found["a"].message, found["a"].hint) == ("will not", "ask nicely")
    second = found["b"]
    assert isinstance(second, Turns)
    assert len(second.turns) == 3


def test_a_child_that_dies_says_with_which_code(command: tuple[str, ...]) -> None:
    with Child({"name": "a"}, command=command) as one, pytest.raises(ChildError, match="exit code 7"):
        one.ask({"die": True})


def test_a_child_that_hangs_is_ended() -> None:
    program = (sys.executable, "-c", "import sys, time; print('{}', flush=True); sys.stdin.readline(); time.sleep(60)")
    with Child({}, command=program) as one, pytest.raises(ChildError, match="gave no answer for 0 s"):
        one.ask({}, wait_s=0.05)


def test_one_that_cannot_open_is_an_error_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.Child.__init__, "__kwdefaults__", {"command": (sys.executable, "-c", "exit(3)")})
    with ExitStack() as stack:
        found = open_all({"x": {}}, stack)
    assert isinstance(found["x"], ChildError)


def test_ratios_are_taken_within_a_round() -> None:
    fast = Turns({}, ({"rate": 10.0}, {"rate": 40.0}))
    slow = Turns({}, ({"rate": 5.0}, {"rate": 10.0}))
    assert ratios(fast, slow, "rate") == [2.0, 4.0]
