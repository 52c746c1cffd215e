"""Names and pictures of products, from the assortment that a session froze."""

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.catalog.sku import Catalog
from fleetsight.errors import Error
from fleetsight.web.blob_response import MEDIA
from fleetsight.web.pages.routing import Asked, absent
from fleetsight.web.services import Services

LOG = logging.getLogger(__name__)
CATALOGS_KEPT = 64
"""A catalog of a cooler has some fifty SKUs; an installation has few different ones at a time."""
KEEP_S = 86_400


def catalog_of(services: Services, session: Session) -> Catalog:
    """What could be sold in a session.

    Args:
        services: with the assortments.
        session: whose assortment.
    Returns:
        the catalog; an empty one when it cannot be read, because a page without product names is better than none.
    """
    try:
        return _catalog(services.assortments.folder(session.tenant_id, session.assortment).catalog)
    except Error:
        LOG.warning("assortment unreadable session=%s assortment=%s", session.id, session.assortment, exc_info=True)
        return Catalog("", {})


def pictured(services: Services, session: Session, *, base: str) -> Callable[[str], str | None]:
    """Addresses of product pictures.

    Args:
        services: with the assortments.
        session: whose assortment.
        base: path of the session's page.
    Returns:
        from a SKU to the address of its picture; None when it has none.
    """
    catalog = catalog_of(services, session)

    def address(sku: str) -> str | None:
        entry = catalog.skus.get(sku)
        return f"{base}/picture?sku={quote(sku, safe='')}" if entry and entry.pictures else None

    return address


def picture_answer(asked: Asked, session: Session) -> Response:
    """Answer with the first picture of the SKU that is asked for.

    Args:
        asked: with `sku` in the query.
        session: whose assortment.
    Returns:
        the picture.
    Raises:
        Problem: there is no such SKU, or it has no picture.
    """
    entry = catalog_of(asked.services, session).skus.get(asked.request.query_params.get("sku", ""))
    media = MEDIA.get(entry.pictures[0].suffix.lower()) if entry and entry.pictures else None
    if entry is None or media is None or not entry.pictures[0].is_file():
        raise absent()
    headers = {"Cache-Control": f"private, max-age={KEEP_S}", "X-Content-Type-Options": "nosniff"}
    return FileResponse(entry.pictures[0], headers=headers, media_type=media)


@lru_cache(CATALOGS_KEPT)
def _catalog(folder: Path) -> Catalog:
    return Catalog.load(folder)
