import pytest

from tests.fleet.planning.render.pooled import GOLDEN, rendered


@pytest.mark.parametrize("name", sorted(rendered()))
def test_files_are_rendered_as_reviewed(name: str) -> None:
    assert rendered()[name] == (GOLDEN / name).read_text(encoding="utf-8"), (
        "python -m tests.fleet.planning.render.pooled writes them again"
    )
