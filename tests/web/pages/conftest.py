"""A browser, and the made-up pages on a port of their own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from starlette.types import ASGIApp

from tests.web.pages.preview import Preview, preview

PHONE = (390, 844)
DESK = (1440, 900)
NARROW = (360, 740)
PATIENCE_MS = 60_000
"""A test that waits for a page waits as long as a busy machine needs."""


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an app on loopback while the block runs; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@dataclass
class Window:
    """One page of a browser, with everything that it complained about."""

    page: Page
    complaints: list[str]


def lost(asked: Request) -> bool:
    """Whether a file of ours failed to load; not one that the browser gave up because it went on to another page."""
    return "/static/" in asked.url and asked.failure != "net::ERR_ABORTED"


@contextmanager
def window(
    browser: Browser, *, size: tuple[int, int] = DESK, scheme: str = "light", calm: bool = True
) -> Iterator[Window]:
    """A fresh browser window in UTC; `calm`: without motion."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce" if calm else "no-preference",
        timezone_id="UTC",
        locale="en-GB",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda asked: complaints.append(asked.url) if lost(asked) else None)
    try:
        yield Window(page, complaints)
    finally:
        context.close()


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    """One browser for each module: its driver keeps an event loop in this thread, which other modules need for their own."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(chromium_path), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Preview:
    return preview(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def made_up_url(made_up: Preview) -> Iterator[str]:
    with served(made_up.app) as url:
        yield url
