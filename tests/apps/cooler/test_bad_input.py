"""Bad clips, settled from end to end: a clear refusal, or a degraded result that a person looks at."""

import json
import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetsight.apps.cooler.decide import Decision
from fleetsight.apps.cooler.flow import Engine
from fleetsight.apps.cooler.models import load_detector
from fleetsight.video.decode import Limits
from tests.apps.cooler.bad_clips import (
    RATE_HZ,
    SIZE_WH,
    answer_to,
    command,
    flipped,
    giant_after,
    good_bytes,
    good_images,
    noisy,
    sound_only,
    turned,
    wall,
    write_images,
)
from tests.video.conftest import moving_images, mux_foreign
from tests.video.test_hostile import PLAYLISTS

CONTAINERS = (".mp4", ".mkv", ".ts")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.for_labels(load_detector(), ("product",))


def write(clip: Path, content: bytes) -> Path:
    clip.write_bytes(content)
    return clip


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_whole_clip_is_settled_without_a_person(tmp_path: Path, engine: Engine, suffix: str) -> None:
    """What the other tests damage; without this they would prove nothing."""
    answer = answer_to(write(tmp_path / f"good{suffix}", good_bytes(suffix)), engine)
    assert answer.settlement is not None
    assert answer.degraded == ()
    assert answer.settlement.decision is Decision.CHARGE
    assert answer.settlement.basket == {"product": 1}


# --- files that are no video ---


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_an_empty_file_is_refused_as_empty(tmp_path: Path, engine: Engine, suffix: str) -> None:
    answer = answer_to(write(tmp_path / f"empty{suffix}", b""), engine)
    assert answer.code == "media_empty"
    assert answer.is_safe


@pytest.mark.parametrize("magic", [b"", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypisom", b"\0\0\0\x08moov"])
def test_random_bytes_are_refused(tmp_path: Path, engine: Engine, magic: bytes) -> None:
    content = magic + np.random.default_rng(len(magic)).bytes(50_000)
    answer = answer_to(write(tmp_path / "random.mp4", content), engine)
    assert answer.is_refused
    assert answer.is_safe


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_named_mp4_is_refused_and_leads_nowhere(tmp_path: Path, engine: Engine, kind: str) -> None:
    write(tmp_path / "secret.mp4", good_bytes(".mp4"))
    (tmp_path / "upload.mp4").write_text(PLAYLISTS[kind])
    answer = answer_to(tmp_path / "upload.mp4", engine)
    assert answer.code == "media_format"
    assert answer.is_safe


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_sound_alone_is_refused(tmp_path: Path, engine: Engine, suffix: str) -> None:
    answer = answer_to(sound_only(tmp_path / f"sound{suffix}"), engine)
    assert answer.code == "media_no_video"
    assert answer.is_safe


# --- damage ---


@pytest.mark.parametrize("percent", range(5, 100, 5))
def test_a_cut_clip_is_never_settled_alone(tmp_path: Path, engine: Engine, percent: int) -> None:
    content = good_bytes(".mkv")
    answer = answer_to(write(tmp_path / "cut.mkv", content[: len(content) * percent // 100]), engine)
    assert answer.is_safe
    assert answer.code == "media_truncated" or "truncated" in answer.degraded
    if answer.settlement is not None:
        assert answer.settlement.summary.decoded_fraction < 1


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("percent", [15, 99])
def test_a_cut_clip_of_another_recorder_is_never_settled_alone(
    tmp_path: Path, engine: Engine, suffix: str, percent: int
) -> None:
    content = good_bytes(suffix, sealed=False)
    length = len(content) * percent // 100 // 188 * 188 + 100  # a cut between two TS packets leaves no trace
    assert answer_to(write(tmp_path / f"cut{suffix}", content[:length]), engine).is_safe


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("count", [1, 40])
def test_flipped_bits_are_never_settled_alone(tmp_path: Path, engine: Engine, suffix: str, count: int) -> None:
    content = flipped(good_bytes(suffix), count=count, seed=count)
    assert answer_to(write(tmp_path / f"flipped{suffix}", content), engine).is_safe


# --- pictures of an absurd size or number ---


@pytest.mark.parametrize("after", [0, 20])
def test_a_picture_of_16384_by_8192_ends_the_clip_before_it_is_decoded(
    tmp_path: Path, engine: Engine, after: int
) -> None:
    mux_foreign(tmp_path / "giant.ts", count=40, group=10, packet_edit=giant_after(after))
    answer = answer_to(tmp_path / "giant.ts", engine)
    assert answer.is_safe
    assert bool(answer.settlement) == bool(after)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred thousand tiny pictures: one recording, many times over."""
    clip = tmp_path_factory.mktemp("endless") / "endless.ts"
    write_images(clip, moving_images(100, width=32, height=32))
    clip.write_bytes(clip.read_bytes() * 1000)
    return clip


def test_endless_tiny_pictures_end_at_the_limit(endless: Path, engine: Engine) -> None:
    answer = answer_to(endless, engine, limits=Limits(frames=200))
    assert answer.settlement is not None
    assert answer.settlement.summary.frames == 200
    assert "limit_frames" in answer.degraded
    assert answer.is_safe


@pytest.mark.parametrize("size_wh", [(2, 2), (16, 16), (16, 1024), (1024, 16)])
def test_pictures_of_an_absurd_shape_break_nothing(tmp_path: Path, engine: Engine, size_wh: tuple[int, int]) -> None:
    generator = np.random.default_rng(3)
    images = (generator.integers(0, 255, (*size_wh[::-1], 3)).astype(np.uint8) for _ in range(12))
    answer = answer_to(write_images(tmp_path / "shape.mkv", images), engine)
    assert answer.is_bounded
    assert answer.settlement is None or answer.settlement.decision is not Decision.CHARGE


def test_an_odd_number_of_rows_and_columns_breaks_neither_the_answer_nor_its_evidence(
    tmp_path: Path, engine: Engine
) -> None:
    mux_foreign(tmp_path / "odd.mkv", codec="libvpx", count=12, size_wh=(65, 49))
    assert answer_to(tmp_path / "odd.mkv", engine).settlement is not None
    done = command(tmp_path / "odd.mkv", "--skus", "product", "--evidence", tmp_path / "evidence")
    assert done.exit_code == 0, done.stderr


# --- time and orientation ---


def test_a_variable_frame_rate_is_for_a_person(tmp_path: Path, engine: Engine) -> None:
    images = good_images()
    steps_s = np.random.default_rng(2).choice([1 / 30, 1 / 15, 1 / 8], len(images))
    clip = write_images(tmp_path / "uneven.mp4", images, stamps_s=accumulate(steps_s))
    answer = answer_to(clip, engine)
    assert "variable_rate" in answer.degraded
    assert answer.is_safe


def test_a_pause_in_the_recording_is_for_a_person(tmp_path: Path, engine: Engine) -> None:
    images = good_images()
    stamps_s = [float(index / RATE_HZ) + (8.0 if index >= len(images) // 2 else 0.0) for index in range(len(images))]
    answer = answer_to(write_images(tmp_path / "pause.mp4", images, stamps_s=stamps_s), engine)
    assert "gap" in answer.degraded
    assert answer.is_safe


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_is_for_a_person(tmp_path: Path, engine: Engine, degrees: int) -> None:
    good = write(tmp_path / "good.mp4", good_bytes(".mp4"))
    answer = answer_to(turned(good, tmp_path / "turned.mp4", degrees), engine)
    assert "rotated" in answer.degraded
    assert answer.is_safe


# --- a camera that sees nothing ---


def test_a_black_picture_is_for_a_person(tmp_path: Path, engine: Engine) -> None:
    answer = answer_to(write_images(tmp_path / "black.mp4", noisy(3, count=45)), engine)
    assert any("black" in reason for reason in answer.degraded)
    assert answer.settlement is not None
    assert answer.settlement.basket == {}
    assert answer.is_safe


@pytest.mark.parametrize("level", [4, 160])
def test_a_lens_that_is_covered_half_way_is_for_a_person(tmp_path: Path, engine: Engine, level: int) -> None:
    images = good_images()
    half = len(images) // 2
    clip = write_images(tmp_path / "covered.mp4", (*images[:half], *noisy(level, count=half)))
    answer = answer_to(clip, engine)
    assert any("black" in reason or "covered" in reason for reason in answer.degraded)
    assert answer.is_safe


@pytest.mark.parametrize("level", [4, 120])
def test_a_lens_that_is_covered_while_something_is_taken_is_for_a_person(
    tmp_path: Path, engine: Engine, level: int
) -> None:
    images = list(good_images())
    images[10:40] = noisy(level, count=30)
    answer = answer_to(write_images(tmp_path / "covered.mp4", images), engine)
    assert answer.is_safe


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_lens_half_of_which_is_covered_is_never_charged(tmp_path: Path, engine: Engine, share: float) -> None:
    images = [image.copy() for image in good_images()]
    for image, lid in zip(images[25:], noisy(25, count=len(images)), strict=False):
        width = round(share * SIZE_WH[0])
        image[:, :width] = lid[:, :width]
    answer = answer_to(write_images(tmp_path / "half.mp4", images), engine)
    assert answer.settlement is not None
    assert answer.settlement.decision is Decision.REVIEW


@pytest.mark.parametrize("before", [0, 20])
def test_a_picture_that_freezes_is_for_a_person(tmp_path: Path, engine: Engine, before: int) -> None:
    images = good_images()
    frozen = (*images[:before], *[images[before]] * 45)
    answer = answer_to(write_images(tmp_path / "frozen.mp4", frozen), engine)
    assert any("frozen" in reason for reason in answer.degraded)
    assert answer.is_safe


@pytest.mark.parametrize("count", [1, 2])
def test_a_clip_too_short_to_show_a_purchase_is_for_a_person(tmp_path: Path, engine: Engine, count: int) -> None:
    answer = answer_to(write_images(tmp_path / "short.mp4", good_images()[:count]), engine)
    assert answer.settlement is not None
    assert answer.settlement.decision is Decision.REVIEW


@pytest.mark.parametrize("kind", ["wall", "chaos"])
def test_a_camera_that_never_sees_a_product_is_for_a_person(tmp_path: Path, engine: Engine, kind: str) -> None:
    images = wall(count=40) if kind == "wall" else moving_images(40, width=SIZE_WH[0], height=SIZE_WH[1])
    answer = answer_to(write_images(tmp_path / "away.mp4", images), engine)
    assert answer.settlement is not None
    assert answer.settlement.decision is Decision.REVIEW


def test_a_freeze_that_hides_a_purchase_is_never_released(tmp_path: Path, engine: Engine) -> None:
    """Too short to be told from a quiet view, yet afterwards a product is gone."""
    images = list(good_images())
    images[10:38] = [images[10]] * 28
    answer = answer_to(write_images(tmp_path / "freeze.mp4", images), engine)
    assert answer.settlement is not None
    assert answer.settlement.decision is not Decision.RELEASE


@pytest.mark.parametrize("first", [15, 20])
def test_a_recording_that_begins_in_the_middle_of_a_purchase_is_for_a_person(
    tmp_path: Path, engine: Engine, first: int
) -> None:
    answer = answer_to(write_images(tmp_path / "late.mp4", good_images()[first:]), engine)
    assert answer.settlement is not None
    assert answer.settlement.decision is Decision.REVIEW


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("count", [1, 10])
def test_a_few_flipped_bits_in_a_clip_of_another_recorder_put_nothing_false_on_the_bill(
    tmp_path: Path, engine: Engine, suffix: str, count: int
) -> None:
    """Without a seal no coding can tell every flipped bit; what passes unnoticed must not change what is charged."""
    content = flipped(good_bytes(suffix, sealed=False), count=count, seed=count)
    answer = answer_to(write(tmp_path / f"flipped{suffix}", content), engine)
    assert answer.is_bounded
    if answer.settlement is not None and answer.settlement.decision is Decision.CHARGE:
        assert answer.settlement.basket == {"product": 1}


# --- through the command ---


def test_the_command_refuses_with_a_code_a_reason_and_a_hint(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.mp4", b"")
    done = command(empty, "--skus", "product")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error[media_empty]: the file is empty\nhint: ")
    as_json = command(empty, "--skus", "product", "--json")
    assert as_json.exit_code == 2
    assert json.loads(as_json.stderr)["error"]["code"] == "media_empty"


def test_the_command_answers_for_a_cut_clip_and_shows_its_evidence(tmp_path: Path) -> None:
    content = good_bytes(".mkv")
    cut = write(tmp_path / "cut.mkv", content[: len(content) * 8 // 10])
    done = command(cut, "--skus", "product", "--json", "--evidence", tmp_path / "evidence")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert value["decision"] == "review"
    assert "truncated" in value["degraded"]
    assert 0 < value["decoded_fraction"] < 1
    assert (tmp_path / "evidence").is_dir()


def test_the_process_lives_through_the_worst_clips_in_a_gigabyte(tmp_path: Path, endless: Path) -> None:
    """In a process of its own, as a user starts it, so that its memory is its own."""
    mux_foreign(tmp_path / "giant.ts", count=40, group=10, packet_edit=giant_after(20))
    for clip, frames in ((tmp_path / "giant.ts", 36_000), (endless, 200)):
        done, peak_bytes = watched_process(tmp_path, clip, frames=frames)
        assert done["decision"] == "review"
        assert done["degraded"]
        assert peak_bytes < 2**30


def watched_process(tmp_path: Path, clip: Path, *, frames: int) -> tuple[dict[str, Any], int]:
    """What `python -m fleetsight cooler settle --json` prints, and its peak memory in bytes."""
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleetsight", "cooler", "settle", str(clip), "--skus", "product", "--json"],
            stdout=out,
            stderr=err,
            env=os.environ | {"FLEETSIGHT_DECODE_FRAMES": str(frames)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (tmp_path / "err").read_text()
    value: dict[str, Any] = json.loads((tmp_path / "out").read_text())
    return value, usage.ru_maxrss * 1024
