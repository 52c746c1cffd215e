"""The pages with made-up contexts, so that templates, styles and scripts are tested without a service behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fleetsight.video.encode import write_clip
from fleetsight.web.pages.answers import page_answer, static_files
from fleetsight.web.pages.contexts import PageContext, ProblemPage, ScanState, Stage
from fleetsight.web.pages.desk_contexts import SignInPage
from fleetsight.web.pages.faces import Chrome, Faces
from tests.web.pages import made_up as m

TABS = tuple(
    (f"/operator/{name.lower()}", name, icon)
    for name, icon in (("Sessions", "list"), ("Reviews", "inbox"), ("Fleet", "fleet"), ("Money", "coins"))
)
CLIP_S = 9.3
RATE_HZ = 10


def pages() -> Mapping[str, PageContext]:
    """Every page in every state, by path."""
    found: dict[str, PageContext] = {f"/scan/{state}": m.scan(state) for state in ScanState}
    found |= {f"/shop/{stage}": m.shopping(stage, left_s=11 if stage is Stage.UNLOCKED else None) for stage in Stage}
    answered = replace(m.CONTEST, answered_ns=m.NOW_NS)
    refunded = replace(m.RECEIPT, refunds=(m.REFUND,), paid=m.eur(538))
    waiting = replace(m.DETAIL, facts=replace(m.FACTS, row=m.ROWS[0], clip=None, events=(), basket=(), verdict=None))
    return found | {
        "/scan/signed-in": m.scan(signed_in=True),
        "/shop/contested": m.shopping(Stage.RECEIPT, contest=m.CONTEST, contestable=False),
        "/shop/answered": m.shopping(Stage.RECEIPT, contest=answered, receipt=refunded),
        "/shop": m.HOME,
        "/shop/stranger": replace(m.HOME, purse=None, purchases=()),
        "/operator/sign-in": SignInPage("/operator/sessions", "This token is not valid."),
        "/operator/sessions": m.LIST,
        "/operator/sessions/empty": replace(m.LIST, rows=(), next_cursor=None),
        "/operator/sessions/settled": m.DETAIL,
        "/operator/sessions/waiting": waiting,
        "/operator/reviews": m.REVIEW,
        "/operator/reviews/empty": m.NO_REVIEW,
        "/operator/reviews/hostile": replace(m.REVIEW, choices=(m.HOSTILE_CHOICE, *m.CHOICES)),
        "/operator/fleet": m.FLEET,
        "/operator/devices/d-1": m.DEVICE,
        "/operator/money": m.MONEY,
        "/problem": ProblemPage("not_found", 404, "There is nothing here", "The address may be old."),
    }


@dataclass
class Preview:
    """The app and what was sent to it.

    Attributes:
        app: serves every made-up page.
        posted: path and form fields of each POST.
    """

    app: Starlette
    posted: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)


def preview(folder: Path) -> Preview:
    """Make the app.

    Args:
        folder: empty; pictures and the clip go there.
    """
    write_media(folder)
    faces = Faces()
    posted: list[tuple[str, list[tuple[str, str]]]] = []
    known = pages()

    def show(request: Request) -> Response:
        path = request.url.path
        inside = path.startswith("/operator")
        who, role = ("Mara Lindt", "reviewer") if inside else ("", "")
        chrome = Chrome(path, who, role, "Corner Coolers", waiting=3 if inside else 0, tabs=TABS)
        return page_answer(request, known[path], faces=faces, chrome=chrome)

    async def take(request: Request) -> Response:
        form = await request.form()
        posted.append((request.url.path, [(name, str(value)) for name, value in form.multi_items()]))
        return RedirectResponse("/operator/reviews/empty" if "reviews" in request.url.path else "/shop", 303)

    routes = [Route(path, show) for path in known]
    routes.append(Route("/{rest:path}", take, methods=["POST"]))
    mounts = [Mount("/static", static_files()), Mount("/media", StaticFiles(directory=folder))]
    return Preview(Starlette(routes=[*mounts, *routes]), posted)


def write_media(folder: Path) -> None:
    """Draw the pictures that the made-up contexts name, and a clip of their length."""
    (folder / "evidence").mkdir(parents=True)
    (folder / "catalog" / "pictures").mkdir(parents=True)
    for name in ("event_0_take", "event_1_take", "event_2_unknown"):
        cv2.imwrite(str(folder / "evidence" / f"{name}.png"), np.full((150, 1335, 3), 180, np.uint8))
    for choice in m.CHOICES:
        cv2.imwrite(str(folder / "catalog" / "pictures" / f"{choice.sku}_0.png"), np.full((160, 97, 3), 90, np.uint8))
    frames = (np.full((180, 320, 3), i % 255, np.uint8) for i in range(round(CLIP_S * RATE_HZ)))
    write_clip(folder / "evidence" / "annotated.mp4", frames, rate_hz=Fraction(RATE_HZ))
