"""The same thing is made once, by whichever process comes first; what is damaged is put aside and made again."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.cache import ArtifactCache, ForbiddenError, artifact_key
from fleetsight.accel.artifacts.manifest import ArtifactError, Manifest
from fleetsight.store.key_file import open_key
from tests.accel.artifacts.made_up import KEY, Maker, manifest


def test_the_second_time_nothing_is_made(cache: ArtifactCache, tmp_path: Path, key: Ed25519PrivateKey) -> None:
    make = Maker()
    assert not cache.obtain(KEY, make).hit
    again = ArtifactCache(tmp_path / "cache", key, forbid_compiling=True)
    assert again.obtain(KEY, make).hit
    assert (make.calls, cache.made, again.made) == (1, 1, 0)


def test_forbidden_compiling_is_an_error_that_makes_nothing(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    make = Maker()
    with pytest.raises(ForbiddenError, match="forbidden"):
        ArtifactCache(tmp_path / "cache", key, forbid_compiling=True).obtain(KEY, make)
    assert make.calls == 0


def test_a_damaged_entry_is_put_aside_and_made_again(
    cache: ArtifactCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    folder = cache.obtain(KEY, make).artifact.folder
    (folder / "compiled" / "weights.bin").write_bytes(b"rot")
    with caplog.at_level(logging.WARNING):
        assert not cache.obtain(KEY, make).hit
    assert "damaged" in caplog.text
    assert make.calls == 2
    (aside,) = (tmp_path / "cache" / "quarantine").iterdir()
    assert (aside / "compiled" / "weights.bin").read_bytes() == b"rot"
    assert cache.obtain(KEY, make).hit


def test_an_entry_can_be_replaced_and_described_anew(cache: ArtifactCache) -> None:
    first = cache.obtain(KEY, Maker()).artifact
    again = cache.replace(first, Maker())
    assert cache.get(KEY) == again
    told = cache.reseal(again, replace(again.manifest, parity={"passed": True, "said": "anew"}))
    assert cache.get(KEY) == told
    assert (told.manifest.parity["said"], told.manifest.files, cache.made) == ("anew", again.manifest.files, 1)
    assert [path.name for path in told.folder.parent.iterdir() if path.is_dir()] == [KEY]


def test_an_entry_signed_by_somebody_else_is_no_hit(cache: ArtifactCache, tmp_path: Path) -> None:
    cache.obtain(KEY, Maker())
    make = Maker()
    assert not ArtifactCache(tmp_path / "cache", Ed25519PrivateKey.generate()).obtain(KEY, make).hit
    assert make.calls == 1


def test_an_entry_under_another_name_is_no_hit(cache: ArtifactCache) -> None:
    folder = cache.obtain(KEY, Maker()).artifact.folder
    other = artifact_key({"weights": "others"})
    folder.rename(folder.with_name(other))
    assert cache.get(other) is None


def test_a_failed_make_leaves_nothing(cache: ArtifactCache, tmp_path: Path) -> None:
    def fail(folder: Path) -> Manifest:
        (folder / "half").write_bytes(b"half")
        raise RuntimeError("the compiler died")

    with pytest.raises(RuntimeError, match="died"):
        cache.obtain(KEY, fail)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".lock-{KEY}"]
    assert not cache.obtain(KEY, Maker()).hit


def test_a_leftover_of_a_killed_process_is_thrown_away(cache: ArtifactCache, tmp_path: Path) -> None:
    half = tmp_path / "cache" / f".making-{KEY}" / "compiled"
    half.mkdir(parents=True)
    (half / "half").write_bytes(b"half")
    assert "half" not in cache.obtain(KEY, Maker()).artifact.manifest.files


def test_a_target_that_writes_nothing_is_an_error(cache: ArtifactCache) -> None:
    with pytest.raises(ArtifactError, match="no files"):
        cache.obtain(KEY, lambda _: manifest())


def test_threads_make_it_once(cache: ArtifactCache) -> None:
    make = Maker()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cache.obtain(KEY, make), range(8)))
    assert make.calls == 1
    assert sum(not each.hit for each in found) == 1


def test_whoever_waits_too_long_is_told(cache: ArtifactCache, tmp_path: Path, key: Ed25519PrivateKey) -> None:
    impatient = ArtifactCache(tmp_path / "cache", key, lock_wait_s=0.0)

    def busy(folder: Path) -> Manifest:
        with pytest.raises(ArtifactError, match="another process"):
            impatient.obtain(KEY, Maker())
        return Maker()(folder)

    assert not cache.obtain(KEY, busy).hit


@pytest.mark.parametrize("key_text", ["", "../../etc", "A" * 64, "0" * 63])
def test_what_is_no_key_is_refused(cache: ArtifactCache, key_text: str) -> None:
    with pytest.raises(ArtifactError, match="no key"):
        cache.get(key_text)


CHILD = """
import sys, time
from pathlib import Path
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.store.key_file import open_key
from tests.accel.artifacts.made_up import KEY, Maker
home = Path(sys.argv[1])
make = Maker()
def slowly(folder):
    time.sleep(0.3)
    return make(folder)
found = ArtifactCache(home / "cache", open_key(home / "key.pem")).obtain(KEY, slowly)
print(make.calls, found.artifact.manifest.name)
"""


def test_of_two_processes_one_makes_it(tmp_path: Path, checkout: Path) -> None:
    open_key(tmp_path / "key.pem")
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=checkout) for _ in range(2)]
    said = sorted(child.communicate(timeout=120)[0].split() for child in children)
    assert said == [["0", "tiny"], ["1", "tiny"]]
