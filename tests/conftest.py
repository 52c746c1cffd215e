"""Fixtures that tests of every package use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.services.fixtures"]

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of clips, models and data that is handed around beside the checkout and is no part of it."""
    path = Path(os.environ.get("FLEETSIGHT_SHARED") or CHECKOUT.parent / "shared")
    if not path.is_dir():
        pytest.skip(f"needs the shared folder ({path} is absent; FLEETSIGHT_SHARED names another place)")
    return path


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this repository."""
    return CHECKOUT


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the settings and models of the person who runs them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        for variable in [name for name in os.environ if name.startswith("FLEETSIGHT_") and name != "FLEETSIGHT_SHARED"]:
            patch.delenv(variable)
        yield
