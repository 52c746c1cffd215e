"""What should be served, in words and in a file."""

from pathlib import Path

import pytest

from fleetsight.serve.engine.protocol import EngineError
from fleetsight.serve.engine.source import Source, open_engine
from fleetsight.serve.engine.stand_in import CallableEngine, SleepEngine
from fleetsight.serve.tier.plan import PlanError, Variant, check, from_file, from_words


def test_a_name_alone_is_one_variant() -> None:
    assert from_words("cooler-detector") == [Variant("cooler-detector", "auto", "cooler-detector")]


def test_variants_have_targets_prices_and_counts() -> None:
    one, other = from_words("/models/shelf=openvino@0.17x2,onnxruntime")
    assert (one.model, one.variant, one.target, one.usd_per_hour, one.replicas) == (
        "shelf",
        "openvino",
        "openvino",
        0.17,
        2,
    )
    assert (other.target, other.usd_per_hour, other.replicas) == ("onnxruntime", 0.0, 1)


def test_replicas_may_come_and_go_between_two_counts() -> None:
    one, other = from_words("shelf=openvino@0.17x1..4,onnxruntimex3")
    assert (one.target, one.replicas, one.replicas_max, one.is_elastic) == ("openvino", 1, 4, True)
    assert (other.target, other.replicas, other.replicas_max, other.is_elastic) == ("onnxruntime", 3, 0, False)


def test_only_who_runs_a_replica_starts_another() -> None:
    with pytest.raises(PlanError, match="somebody else runs tcp:far:1") as raised:
        Variant("m", "cpu", "sleep:1", replicas_max=2, address="tcp:far:1")
    assert "replicas_max" in str(raised.value.hint)


def test_stand_ins_have_variants_of_any_name() -> None:
    [one] = from_words("sleep:20=fast@1.5")
    assert (one.model, one.variant, one.source, one.target, one.usd_per_hour) == (
        "sleep",
        "fast",
        "sleep:20",
        "auto",
        1.5,
    )


@pytest.mark.parametrize(
    "words", ["m=", "m=a@x", "m=a@-1", "m=@1", "m=ax0", "m=ax4..1", "m=ax1..99", "a b", "m=ax99999"]
)
def test_words_that_make_no_sense_are_refused(words: str) -> None:
    if words == "m=":
        assert from_words(words) == from_words("m")
        return
    with pytest.raises(PlanError):
        from_words(words)


def test_a_file_describes_variants(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text('[[variant]]\nmodel = "m"\nvariant = "cpu"\nsource = "sleep:5"\nbatch_max = 4\nusd_per_hour = 1\n')
    [one] = from_file(path)
    assert (one.batch_max, one.usd_per_hour) == (4, 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "tables"),
        ("x = [", "no TOML"),
        ("[[variant]]\nmodel = 'm'", "needs model"),
        ("[[variant]]\nmodel='m'\nvariant='v'\nsource='s'\nreplica=1", "did you mean replicas"),
        ("[[variant]]\nmodel='m'\nvariant='v'\nsource='s'\nreplicas='1'", "expected int"),
        ("[[variant]]\nmodel='m'\nvariant='v'\nsource='s'\nreplicas=true", "expected int"),
        ("[[variant]]\nmodel='m'\nvariant='v'\nsource='s'\nreplicas=0", "expected 1 to"),
        ("[other]\nx=1", "tables"),
    ],
)
def test_a_file_that_makes_no_sense_says_where(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=word):
        from_file(path)


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="two variants"):
        check([Variant("m", "a", "sleep:1"), Variant("m", "a", "sleep:2")])


def test_sources_name_engines() -> None:
    sleeps, burns = open_engine(Source("sleep:20")), open_engine(Source("burn:2.5+1"))
    assert isinstance(sleeps, SleepEngine)
    assert (sleeps.first_ms, sleeps.next_ms, sleeps.burns) == (20.0, 20.0, False)
    assert isinstance(burns, SleepEngine)
    assert (burns.first_ms, burns.next_ms, burns.burns) == (2.5, 1.0, True)
    assert isinstance(open_engine(Source("json:dumps")), CallableEngine)


@pytest.mark.parametrize("text", ["no.such:thing", "json:nothing", "json:__name__", "sleep:100000"])
def test_sources_that_name_nothing_are_refused(text: str) -> None:
    with pytest.raises(EngineError):
        open_engine(Source(text))
