"""The commands of the inference service, as a person or a script sees them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleetsight.cli.main import app
from fleetsight.serve.client import Client
from fleetsight.serve.tier.plan import Variant
from tests.serve.http.serving import running


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.stdout, done.stderr


def test_the_service_is_served_switched_and_ended(tmp_path: Path) -> None:
    plan = tmp_path / "models.toml"
    rows = [f'[[variant]]\nmodel = "m"\nvariant = "{name}"\nsource = "sleep:1"\n' for name in ("cpu", "gpu")]
    plan.write_text("".join(rows))
    command = [sys.executable, "-m", "fleetsight", "serve", "models", "--models", str(plan), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["variants"] == ["m/cpu", "m/gpu"]
        with Client(told["url"]) as client:
            assert client.infer("m", b"\xff\xd8", deadline_ms=20_000).variant in ("cpu", "gpu")
            code, out, _ = run("switch", "m", "gpu", "--url", told["url"])
            assert (code, out.startswith("m: gpu 100 %, in force")) == (0, True)
            assert client.infer("m", b"\xff\xd8", deadline_ms=20_000).variant == "gpu"
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode in (0, -15)


@pytest.mark.parametrize(
    ("words", "split"), [(["cpu:90", "gpu:10"], {"cpu": 90, "gpu": 10}), (["cpu"], {"cpu": 100}), ([], None)]
)
def test_switch_takes_one_variant_shares_or_nothing(words: list[str], split: dict[str, int] | None) -> None:
    with running(Variant("m", "cpu", "sleep:1"), Variant("m", "gpu", "sleep:1")) as service:
        code, out, _ = run("switch", "m", *words, "--url", service.url, "--json")
        assert (code, json.loads(out)["split"]) == (0, split)


@pytest.mark.parametrize("words", [["cpu:x"], ["cpu", "gpu"], ["cpu:50", "cpu:50"]])
def test_shares_that_make_no_sense_are_refused(words: list[str]) -> None:
    assert run("switch", "m", *words)[0] == 2


def test_a_service_that_is_not_there_is_said(tmp_path: Path) -> None:
    code, _, err = run("switch", "m", "cpu", "--url", "http://127.0.0.1:9", "--json")
    assert (code, json.loads(err)["error"]["code"]) == (2, "serve_client")


@pytest.mark.parametrize(
    "words", [[], ["--model", "a b"], ["--model", "sleep:1", "--model", "sleep:2"], ["--models", "/none.toml"]]
)
def test_nothing_sensible_to_serve_is_refused(words: list[str]) -> None:
    assert run("serve", "models", *words)[0] == 2


def test_a_replica_runs_one_variant() -> None:
    code, _, err = run("serve", "models", "--model", "sleep:1=a,b", "--replica", "unix:/tmp/none.sock")
    assert code == 2
    assert "one variant" in err
