"""An artifact is opened when every byte is the one that was signed, and not otherwise."""

import json
from pathlib import Path

import pytest

from fleetsight.accel.artifacts.artifact import Artifact, list_artifacts
from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.artifacts.manifest import ArtifactError
from tests.accel.artifacts.made_up import KEY, Maker, manifest


@pytest.fixture
def artifact(cache: ArtifactCache) -> Artifact:
    return cache.obtain(KEY, Maker()).artifact


def opened(artifact: Artifact, cache: ArtifactCache) -> Artifact:
    return Artifact.open(artifact.folder, trusted=cache.trusted)


def test_it_opens_as_it_was_made(artifact: Artifact, cache: ArtifactCache) -> None:
    found = opened(artifact, cache)
    assert found.manifest == artifact.manifest
    assert set(found.manifest.files) == {"weights.bin", "part/graph.xml"}


def test_a_changed_file_is_named(artifact: Artifact, cache: ArtifactCache) -> None:
    (artifact.folder / "compiled" / "weights.bin").write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match=r"weights\.bin was changed"):
        opened(artifact, cache)


def test_a_missing_file_is_named(artifact: Artifact, cache: ArtifactCache) -> None:
    (artifact.folder / "compiled" / "part" / "graph.xml").unlink()
    with pytest.raises(ArtifactError, match=r"graph\.xml is missing"):
        opened(artifact, cache)


def test_a_file_that_nobody_signed_is_named(artifact: Artifact, cache: ArtifactCache) -> None:
    (artifact.folder / "compiled" / "extra.so").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"extra\.so is not listed"):
        opened(artifact, cache)


def test_a_link_is_refused(artifact: Artifact, cache: ArtifactCache, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (artifact.folder / "compiled" / "weights.bin").unlink()
    (artifact.folder / "compiled" / "weights.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="no plain file"):
        opened(artifact, cache)


def test_a_changed_manifest_is_refused_before_its_words_are_read(artifact: Artifact, cache: ArtifactCache) -> None:
    path = artifact.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target": "nonsense"}))
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        opened(artifact, cache)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_half_written_artifact_is_refused(artifact: Artifact, cache: ArtifactCache, name: str) -> None:
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactError):
        opened(artifact, cache)


def test_somebody_elses_artifact_is_refused(artifact: Artifact) -> None:
    with pytest.raises(ArtifactError, match="not trusted") as caught:
        Artifact.open(artifact.folder, trusted=())
    assert "artifact_keys" in caught.value.hint


def test_a_copy_opens_and_replaces_an_older_one(artifact: Artifact, cache: ArtifactCache, tmp_path: Path) -> None:
    for _ in range(2):
        assert opened(artifact.copy_to(tmp_path / "out" / "tiny"), cache).manifest == artifact.manifest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]


def test_a_copy_never_replaces_what_is_no_artifact(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="is no artifact"):
        artifact.copy_to(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").is_file()


def test_artifacts_are_listed_with_what_cannot_be_trusted_last(
    artifact: Artifact, cache: ArtifactCache, tmp_path: Path
) -> None:
    other = artifact.copy_to(artifact.folder.with_name("other"))
    (other.folder / "manifest.json").write_text((other.folder / "manifest.json").read_text().replace("tiny", "huge"))
    (artifact.folder.parent / "no-artifact").mkdir()
    first, last = list_artifacts(artifact.folder.parent, trusted=cache.trusted)
    assert (first.folder, first.manifest, first.problem) == (artifact.folder, artifact.manifest, "")
    assert (last.folder, last.manifest) == (other.folder, None)
    assert "was changed" in last.problem
    assert list_artifacts(tmp_path / "nowhere", trusted=()) == ()


def test_larger_batches_cannot_serve_single_images() -> None:
    with pytest.raises(ArtifactError, match="batches of 8"):
        Artifact(folder=Path("unused"), manifest=manifest(batch=8)).check_batch_of_one()
    Artifact(folder=Path("unused"), manifest=manifest(batch=None)).check_batch_of_one()
