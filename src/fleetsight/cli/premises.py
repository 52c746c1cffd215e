"""Where a rehearsal is played: an installation of its own in a folder of its own, whatever the settings say about others."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fleetsight.cli.serve import addresses_of, choices_of

if TYPE_CHECKING:
    from fleetsight.fleet.installation import Installation
    from fleetsight.fleet.rehearsal.trade import Premises

COMPANY = "Corner coolers"
REHEARSED_BY = "rehearsal"
SERVICE = "service"
"""Below the folder: what the service keeps. Coolers and logs lie beside it."""


@contextmanager
def premises_in(folder: Path, port: int) -> Iterator[tuple["Premises", "Installation"]]:
    """Prepare an installation.

    Args:
        folder: for all of it; made when missing.
        port: of the pages; 0 takes a free one.
    Yields:
        where it is played, and the opened parts to look into it.
    """
    from fleetsight.fleet.installation import Installation, add_operator, first_operator, prepare
    from fleetsight.fleet.people import Role
    from fleetsight.fleet.processes.tree import listen
    from fleetsight.fleet.rehearsal.trade import Premises
    from fleetsight.settings import environment_with, load

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    listening = listen("127.0.0.1", port)
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    service = folder / SERVICE
    environ = environment_with(
        {
            "data_dir": service,
            "database_url": f"sqlite:///{service / 'fleetsight.db'}",
            "jobs_url": f"sqlite:///{service / 'jobs.db'}",
            "blobs_url": (service / "blobs").as_uri(),
            "base_url": base_url,
            "payment_provider": "wallet",
            "open_signup": True,
        }
    )
    settings = load(environ)
    prepare(addresses_of(settings))
    installation = Installation.open(addresses_of(settings), choices_of(settings))
    try:
        first_operator(installation, COMPANY)
        token = add_operator(installation, REHEARSED_BY, role=Role.ADMIN)
        yield Premises(folder, base_url, environ, listening, settings.workers, token), installation
    finally:
        installation.close()
        listening.close()


@contextmanager
def kept_folder(chosen: Path | None) -> Iterator[Path]:
    """The folder that was chosen, or a temporary one that is removed unless something went wrong.

    Args:
        chosen: None for a temporary one.
    Yields:
        the folder.
    """
    if chosen is not None:
        yield chosen
        return
    folder = Path(tempfile.mkdtemp(prefix="fleetsight-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
