"""The commands of a device, as a person types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app
from tests.apps.cooler.device.fake_server import CLAIM, FakeService, running

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeService]:
    with running(FakeService()) as service:
        yield service


def run(*words: str) -> tuple[int, str, str]:
    done = RUNNER.invoke(app, ["device", *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_device_is_enrolled_and_shows_its_code(fake: FakeService, tmp_path: Path) -> None:
    data = str(tmp_path / "device")
    code, out, _ = run("enrol", "--server", fake.url, "--claim", CLAIM, "--data", data, "--json")
    assert (code, json.loads(out)["device_id"]) == (0, fake.device_id)
    code, out, _ = run("enrol", "--server", fake.url, "--claim", CLAIM, "--data", data)  # the answer was lost: again
    assert code == 0
    assert fake.device_id in out
    code, out, _ = run("show-qr", "--data", data, "--json")
    shown = json.loads(out)
    assert shown["url"] == f"{fake.url}/q?t={shown['token']}"
    assert fake.redeem(shown["token"], "shopper").device_id == fake.device_id
    code, out, _ = run("show-qr", "--data", data)
    assert code == 0
    assert max(map(len, out.splitlines()[:-2])) <= 80
    assert out.splitlines()[-1].startswith(f"{fake.url}/q?t=")


def test_a_wrong_claim_is_refused(fake: FakeService, tmp_path: Path) -> None:
    code, _, err = run("enrol", "--server", fake.url, "--claim", "WRONG", "--data", str(tmp_path), "--json")
    assert code == 2
    assert json.loads(err)["error"]["code"] == "device_refused"


def test_a_server_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    code, _, err = run("enrol", "--server", "http://127.0.0.1:9", "--claim", "X", "--data", str(tmp_path))
    assert code == 2
    assert "device_link_down" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no driver for real locks"),
        (("--sim", "--scenario", "basik"), "did you mean basic"),
        (("--sim", "--link", "loss=7"), "describes no line"),
        (("--sim", "--size", "big"), "big"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_rendered(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = run("run", "--data", str(tmp_path / "device"), *words)
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "device").exists()


def test_a_code_needs_an_enrolled_device(tmp_path: Path) -> None:
    code, _, err = run("show-qr", "--data", str(tmp_path))
    assert code == 2
    assert "device_not_enrolled" in err
