"""The retailer of a simulated cooler: sets up sites and devices, and says before each sale what stands on the shelf and what it costs.

Every simulated session shows a shelf of its own, so catalog, planogram and prices are published before a shopper is invited. A price list
belongs to a site: simulated coolers with different shelves need a site each.
"""

import io
import json
import shutil
import tarfile
import tempfile
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from fleetsight.apps.cooler.device.durable import write_durably
from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.simulated_films import Film, Turn
from fleetsight.clock import SECOND_NS
from fleetsight.errors import Error
from fleetsight.sim.truth import session_truth, write_side_files

TAX_RATE_BP = 1900
"""German VAT on drinks and most packed goods, hundredths of a percent; prices of the simulation include it."""
TIMEOUT = httpx.Timeout(30.0)
PUBLISHED = ("catalog", "planogram.json")


class RetailerError(Error):
    """The service refused what the retailer wanted."""

    code = "simulated_retailer"


class Retailer:
    """Speaks to the service as an operator.

    Args:
        server_url: where it is.
        operator_token: of a person who may change assortments and prices.
        transport: how requests travel; None takes the network as it is.
    """

    def __init__(self, server_url: str, operator_token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=server_url,
            transport=transport,
            timeout=TIMEOUT,
            trust_env=False,
            headers={"Authorization": f"Bearer {operator_token}"},
        )

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def add_site(self, name: str) -> str:
        """Make a site.

        Args:
            name: what people call it.
        Returns:
            its id.
        Raises:
            RetailerError: the service refused.
        """
        return str(self._call("POST", "/v1/operator/sites", body={"name": name})["site_id"])

    def add_device(self, name: str, *, site_id: str) -> tuple[str, str]:
        """Make a device that waits for its machine.

        Args:
            name: what people call it.
            site_id: where it stands.
        Returns:
            its id and its claim code.
        Raises:
            RetailerError: the service refused.
        """
        said = self._call("POST", "/v1/operator/devices", body={"name": name, "site_id": site_id})
        return str(said["device_id"]), str(said["claim_code"])

    def publish(self, identity: Identity, film: Film, *, folder: Path) -> None:
        """Say what stands on a device's shelf from now on, and what it costs.

        "Now" is the service's word, from the `Date` of its answer: the clock of the machine that simulates a device may be wrong on purpose.

        Args:
            identity: the device.
            film: the session that will be seen.
            folder: where assortments are kept; films may lie there too.
        Raises:
            RetailerError: the service refused.
        """
        shelf = assortment_of(film.turn, folder).read_bytes()
        device, site = quote(identity.device_id), quote(identity.site_id)
        answer = self._answer("PUT", f"/v1/operator/devices/{device}/assortment", shelf, kind="application/x-tar")
        now_s = round(parsedate_to_datetime(answer.headers["Date"]).timestamp())
        entries = [
            {"sku": sku, "gross_minor": minor, "tax_rate_bp": TAX_RATE_BP} for sku, minor in sorted(film.prices.items())
        ]
        prices = {"currency": film.currency, "valid_from_ns": now_s * SECOND_NS, "entries": entries}
        self._call("PUT", f"/v1/operator/sites/{site}/prices", body=prices)

    def _call(self, method: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._answer(method, path, json.dumps(body).encode(), kind="application/json")
        said = answer.json()
        if not isinstance(said, dict):
            raise RetailerError(f"{method} {path}: the answer is no object: {answer.text[:300]}")
        return said

    def _answer(self, method: str, path: str, content: bytes, *, kind: str) -> httpx.Response:
        try:
            answer = self._http.request(method, path, content=content, headers={"Content-Type": kind})
        except httpx.TransportError as error:
            raise RetailerError(
                f"{method} {path}: no answer ({type(error).__name__} {error})", hint="is the server running?"
            ) from error
        if not answer.is_success:
            raise RetailerError(
                f"{method} {path}: {answer.status_code} {answer.text[:300]}", hint="check --operator-token"
            )
        return answer


def assortment_of(turn: Turn, folder: Path) -> Path:
    """The assortment of a session as the service takes it; written when the folder does not hold it yet.

    Args:
        turn: which session.
        folder: an existing folder.
    Returns:
        a tar file of ``planogram.json`` and ``catalog/``; the same session gives the same bytes.
    """
    path = folder / f"{turn.name}.assortment.tar"
    if path.is_file():
        return path
    plan = turn.plan()
    draft = Path(tempfile.mkdtemp(prefix="assortment-", dir=folder))
    try:
        write_side_files(plan, session_truth(plan), folder=draft)
        write_durably(path, _tar_of(draft))
    finally:
        shutil.rmtree(draft)
    return path


def _tar_of(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        files = sorted(file for name in PUBLISHED for file in [folder / name, *(folder / name).rglob("*")])
        for file in files:
            if file.is_file():
                entry = tarfile.TarInfo(str(file.relative_to(folder)))
                entry.size = file.stat().st_size
                with file.open("rb") as content:
                    tar.addfile(entry, content)
    return packed.getvalue()
