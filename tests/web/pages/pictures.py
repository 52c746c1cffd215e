"""Takes the pictures of the documents: ``python -m tests.web.pages.pictures docs/pictures`` (about two minutes).

Everything on them is real but the cameras and the people: sessions are rendered, settled by the bundled models, charged, and
shown by the service.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright

from fleetsight.apps.cooler.evaluate.score import settle_rendered
from fleetsight.apps.cooler.session.analysis import Found, Task
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.review import Contest
from fleetsight.apps.cooler.show.evidence import write_evidence
from fleetsight.apps.cooler.show.report import as_json
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.catalog.sku import Catalog
from fleetsight.clock import SECOND_NS
from fleetsight.fleet.assortment import pack_assortment, publish_assortment
from fleetsight.fleet.people import Role
from fleetsight.fleet.tables import DEVICES, PEOPLE, SHOPPERS, SITES, TENANTS
from fleetsight.money import Money
from fleetsight.sim.session import plan_session
from fleetsight.store.canonical import JsonObject
from fleetsight.store.ids import new_id
from fleetsight.web.gate.cookies import SHOPPER_COOKIE
from tests.services.fixtures import program
from tests.web.pages.conftest import DESK, PHONE, served, window
from tests.web.pages.trading import Seer, Trading
from tests.web.world import make_world

SCENARIOS = (
    ("basic", 11),
    ("look_alikes", 3),
    ("several_units", 21),
    ("look_and_return", 7),
    ("take_again", 5),
    ("misplaced", 5),
    ("both_hands", 4),
    ("basic", 14),
)
SIZE = (1280, 720)
NAMES = {TENANTS: "Corner Coolers", SITES: "Northgate Station, Hall B", DEVICES: "Atrium 2", SHOPPERS: "Ada Lovelace"}
GAP_PX, QUALITY = 24, 88
SHOWN_MS = 1500
"""Until the player stands at the moment of the first event."""


class Witness(Seer):
    """Shows the analysis of the rendered session that is on."""

    def __init__(self, media: Path) -> None:
        super().__init__(media)
        self.folder = media
        self.found: tuple[JsonObject, dict[str, str], float] = ({}, {}, 0.0)

    def look(self, scenario: str, seed: int, folder: Path) -> Path:
        """Render and settle one session; its folder holds the catalog too."""
        plan = plan_session(scenario, seed, suite="standard", size_wh=SIZE)
        settlement = settle_rendered(plan, folder)
        names = write_evidence(settlement, folder / "evidence")
        self.end_s = settlement.end_s
        self.folder, self.found = folder / "evidence", (as_json(settlement), names, settlement.end_s)
        return folder

    def analyse(self, task: Task) -> Found:
        shutil.copytree(self.folder, task.out)
        report, names, end_s = self.found
        return Found(report, names, end_s, float(report["elapsed_s"]), 1 << 28)


def main(target: Path) -> None:
    """Write `shop.jpg` and `desk-*.jpg`."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        trading = Trading.begin(make_world(folder), folder)
        witness = Witness(folder / "media")
        trading.seer, trading.worker.analyst = witness, cast(Any, witness)
        trading.worker.__post_init__()
        trading.worker.define()
        name_everything(trading)
        shopper, wallet = trading.company.shopper, trading.world.services.wallet
        assert wallet is not None
        wallet.top_up(shopper.tenant_id, shopper.shopper_id, amount=Money(40_000, "EUR"), key="for-the-pictures")
        sold = [buy(trading, witness.look(*plan, folder / f"session-{i}")) for i, plan in enumerate(SCENARIOS)]
        settled = [session for session in sold if session.state is State.SETTLED and session.decision]
        best = max(settled, key=lambda session: len(session.decision.basket) if session.decision else 0)
        chromium = program("chromium", "chromium-browser", "google-chrome")
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        with served(trading.world.app) as url:
            shop(browser, trading, url, session_id=best.id, target=target)
            desk(browser, trading, url, session_id=best.id, target=target)
        browser.close()


def buy(trading: Trading, folder: Path) -> Session:
    """Sell the catalog of a rendered session, and let its shopper buy."""
    services, device = trading.world.services, trading.company.machine.device
    catalog = Catalog.load(folder / "catalog")
    now_ns = trading.world.clock.now_ns()
    entries = {sku: PriceEntry(Money(entry.price_minor, "EUR"), 1900) for sku, entry in catalog.skus.items()}
    with services.rows.transaction() as connection:
        draft = PriceList(new_id(), device.tenant_id, device.site_id, "EUR", now_ns, None, entries)
        publish(connection, draft, now_ns=now_ns)
    pack_assortment(folder / "catalog", folder / "planogram.json", tar=folder / "assortment.tar")
    publish_assortment(services.rows, services.blobs, device=device, tar=folder / "assortment.tar", now_ns=now_ns)
    trading.world.clock.advance(47 * SECOND_NS)
    witness = cast(Witness, trading.seer)
    return trading.bought(witness.found[0])


def shop(browser: Browser, trading: Trading, url: str, *, session_id: str, target: Path) -> None:
    """The phone: scan, shop, receipt, contested."""
    shots = []
    cookie = {"name": SHOPPER_COOKIE, "value": trading.company.shopper_token, "url": url}
    trading.beat()
    with window(browser, size=PHONE) as opened:
        opened.page.goto(f"{url}/q?t={trading.company.machine.qr()}")
        shots.append(opened.page.screenshot())
    with window(browser, size=PHONE) as opened:
        opened.page.context.add_cookies([cast(Any, cookie)])
        shopping_id = trading.open_session()
        trading.acknowledge(shopping_id)
        trading.says(shopping_id, "door_opened")
        company = trading.company
        objection = Contest(
            company.tenant_id, session_id, company.shopper.shopper_id, "c", (), "wrong_count", "One of them went back."
        )
        for scheme, path in (("light", shopping_id), ("light", session_id), ("dark", session_id)):
            if scheme == "dark":
                trading.world.services.reviews.contest(objection)
            opened.page.emulate_media(color_scheme=cast(Any, scheme), reduced_motion="reduce")
            opened.page.goto(f"{url}/shop/sessions/{path}")
            opened.page.wait_for_timeout(SHOWN_MS)
            if scheme == "dark":
                opened.page.locator("#contest").scroll_into_view_if_needed()
            elif opened.page.locator(".line").count():
                opened.page.locator(".line summary").first.click()
                opened.page.wait_for_timeout(SHOWN_MS)
            shots.append(opened.page.screenshot())
        assert opened.complaints == [], opened.complaints
    pictures = [cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR) for shot in shots]
    padded = [np.pad(p, ((0, 0), (0, GAP_PX), (0, 0)), constant_values=255) for p in pictures if p is not None]
    cv2.imwrite(
        str(target / "shop.jpg"), np.concatenate(padded, axis=1)[:, :-GAP_PX], [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )


def desk(browser: Browser, trading: Trading, url: str, *, session_id: str, target: Path) -> None:
    """The pages of operators."""
    shots = {
        "sessions": ("sessions", "light"),
        "session": (f"sessions/{session_id}", "light"),
        "review": ("reviews", "light"),
        "fleet": ("fleet", "dark"),
        "money": ("money", "light"),
    }
    with window(browser, size=DESK, calm=False) as opened:
        opened.page.goto(f"{url}/operator/sign-in#{trading.company.tokens[Role.OPERATOR]}")
        opened.page.wait_for_url("**/operator/sessions")
        for name, (path, scheme) in shots.items():
            opened.page.emulate_media(color_scheme=cast(Any, scheme))
            answer = opened.page.goto(f"{url}/operator/{path}")
            assert answer is not None
            assert answer.ok, answer.text()
            opened.page.wait_for_timeout(SHOWN_MS)
            opened.page.screenshot(path=target / f"desk-{name}.jpg", type="jpeg", quality=QUALITY)
        assert opened.complaints == [], opened.complaints


def name_everything(trading: Trading) -> None:
    """Names that read well on pictures."""
    with trading.world.rows.transaction() as connection:
        for table, name in NAMES.items():
            connection.execute(sa.update(table).values(name=name))
        connection.execute(sa.update(PEOPLE).where(PEOPLE.c.role == "operator").values(name="Mara Lindt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
