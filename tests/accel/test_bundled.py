import pytest

from fleetsight.accel.bundled import bundled_folder, bundled_model, bundled_names
from fleetsight.accel.importing.trial import run_trial

BYTES_MAX = 4 * 1024**2


@pytest.mark.parametrize("name", bundled_names() or ["none"])
def test_what_ships_is_whole_small_and_runs(name: str) -> None:
    if name == "none":
        pytest.skip("no models ship yet")
    model = bundled_model(name)
    assert model.name == name
    assert model.card.licence == "Apache-2.0"
    assert sum(path.stat().st_size for path in (bundled_folder() / name).iterdir()) <= BYTES_MAX
    run_trial(model)
