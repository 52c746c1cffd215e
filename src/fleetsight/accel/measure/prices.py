"""What an hour of a machine costs, and what a million frames cost then.

The table ships as `prices.toml` beside this module; a user keeps an own copy and names it. Every row has its source, the
file has a date, and a name that is not in it is an error that names the nearest one: a wrong price is worse than none.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from fleetsight.errors import Error
from fleetsight.store.fields import nearest

SHIPPED = "prices.toml"

USD_PER_HOUR_MAX = 1000.0
"""Above it a price is a slip of the keyboard: the largest rented machine costs about a tenth of that."""

FRAMES = 1_000_000
"""Prices of answers are given for a million frames."""

SECONDS_PER_HOUR = 3600.0

_FIELDS = {
    "chip",
    "vcpus",
    "on_demand_usd_per_hour",
    "reserved_3_years_usd_per_hour",
    "spot_usd_per_hour",
    "regions_usd_per_hour",
    "source",
    "note",
}


class PriceError(Error):
    """A price file cannot be read, or it does not have the price that was asked for."""

    code = "price"


@dataclass(frozen=True)
class Price:
    """One machine that can be rented.

    Attributes:
        instance: the provider's name for it.
        chip: what computes in it.
        vcpus: what the provider counts as processors; two to a core on x86.
        source: where the prices are from.
        on_demand_usd_per_hour: pay as you go; None when not known.
        reserved_3_years_usd_per_hour: reserved for three years; None when not known.
        spot_usd_per_hour: lowest and highest seen; None when not known.
        regions_usd_per_hour: pay as you go in other regions.
        note: what else to know about the row.
    """

    instance: str
    chip: str
    vcpus: int
    source: str
    on_demand_usd_per_hour: float | None = None
    reserved_3_years_usd_per_hour: float | None = None
    spot_usd_per_hour: tuple[float, float] | None = None
    regions_usd_per_hour: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Prices:
    """A price file.

    Attributes:
        dated: day of its newest source.
        region: where the prices hold unless a row says otherwise.
        rows: the machines by name, in the file's order.
    """

    dated: date
    region: str
    rows: Mapping[str, Price]

    @classmethod
    def load(cls, path: Path | None = None) -> "Prices":
        """Read a price file.

        Args:
            path: the file; None: the one that ships.

        Returns:
            its checked content.

        Raises:
            PriceError: it cannot be read, is not TOML, or a field is unknown, missing or makes no sense.
        """
        where = str(path) if path else SHIPPED
        try:
            text = path.read_text("utf-8") if path else (files(__package__) / SHIPPED).read_text("utf-8")
            return _parsed(tomllib.loads(text), where)
        except OSError as error:
            raise PriceError(f"cannot read prices from {where}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PriceError(f"{where} is not TOML: {error}", hint="compare it with the file that ships") from error

    def find(self, name: str) -> Price:
        """The row of a machine.

        Args:
            name: the provider's name, such as "inf2.xlarge".

        Returns:
            its row.

        Raises:
            PriceError: there is no such row.
        """
        if name not in self.rows:
            raise PriceError(f"no price is known for {name!r}", hint=nearest(name, self.rows))
        return self.rows[name]

    def on_demand(self, name: str, *, region: str | None = None) -> float:
        """What an hour costs when paid as one goes.

        Args:
            name: the provider's name.
            region: where; None: the file's own region.

        Returns:
            US dollars per hour.

        Raises:
            PriceError: the file has no such machine, or no such price of it.
        """
        row = self.find(name)
        if region is not None and region != self.region:
            if region not in row.regions_usd_per_hour:
                known = (self.region, *row.regions_usd_per_hour)
                raise PriceError(f"no price of {name} in {region!r} is known", hint=f"known: {', '.join(known)}")
            return row.regions_usd_per_hour[region]
        return _known(row.on_demand_usd_per_hour, name, "on demand")

    def reserved(self, name: str) -> float:
        """What an hour costs when reserved for three years.

        Args:
            name: the provider's name.

        Returns:
            US dollars per hour.

        Raises:
            PriceError: the file has no such machine, or no such price of it.
        """
        return _known(self.find(name).reserved_3_years_usd_per_hour, name, "reserved for three years")


def usd_per_million(usd_per_hour: float, frames_per_s: float, *, utilisation: float) -> float:
    """What a million frames cost.

    Args:
        usd_per_hour: price of the machine, >= 0.
        frames_per_s: frames a second when it is busy, > 0.
        utilisation: share of the paid time in which it is busy, above 0 to 1.

    Returns:
        US dollars per million frames: price / 3600 / (frames_per_s * utilisation) * 10^6.

    Raises:
        PriceError: a number outside its range.
    """
    if not (math.isfinite(usd_per_hour) and usd_per_hour >= 0.0):
        raise PriceError(f"a price per hour is a number >= 0, got {usd_per_hour}")
    if not (math.isfinite(frames_per_s) and frames_per_s > 0.0):
        raise PriceError(f"frames per second is a number above 0, got {frames_per_s}")
    if not 0.0 < utilisation <= 1.0:
        raise PriceError(
            f"utilisation is above 0 and at most 1, got {utilisation}",
            hint="30 % of the paid time is --utilisation 0.3",
        )
    return usd_per_hour / SECONDS_PER_HOUR / (frames_per_s * utilisation) * FRAMES


def _parsed(table: dict[str, Any], where: str) -> Prices:
    for name in table:
        if name not in {"dated", "region", "sources", "instances"}:
            raise PriceError(f"{where}: unknown entry {name!r}", hint=nearest(name, ("dated", "region", "instances")))
    dated, region, instances = table.get("dated"), table.get("region"), table.get("instances")
    if not isinstance(dated, date) or not isinstance(region, str):
        raise PriceError(f"{where}: `dated` must be a date and `region` a name", hint="dated = 2026-08-21")
    if not isinstance(instances, dict) or not instances:
        raise PriceError(f"{where} holds no [instances.NAME]")
    sources = table.get("sources", {})
    rows = {name: _row(name, entry, sources=sources, where=where) for name, entry in instances.items()}
    return Prices(dated=dated, region=region, rows=rows)


def _row(name: str, entry: Any, *, sources: dict[str, Any], where: str) -> Price:
    if not isinstance(entry, dict):
        raise PriceError(f"{where}: instances.{name} is no table", hint=f'begin it with [instances."{name}"]')
    for key in entry:
        if key not in _FIELDS:
            raise PriceError(f"{where}: {name} has an unknown field {key!r}", hint=nearest(key, _FIELDS))
    for key, kind in (("chip", str), ("vcpus", int), ("source", str)):
        if not isinstance(entry.get(key), kind):
            raise PriceError(f"{where}: {name} needs {key!r} ({kind.__name__})")
    on_demand, reserved = (
        _usd(entry[key], name, where=where) if key in entry else None
        for key in ("on_demand_usd_per_hour", "reserved_3_years_usd_per_hour")
    )
    if on_demand is None and reserved is None:
        raise PriceError(f"{where}: {name} has no price", hint="on_demand_usd_per_hour = 0.1785")
    return Price(
        instance=name,
        chip=entry["chip"],
        vcpus=entry["vcpus"],
        source=str(sources.get(entry["source"], entry["source"])),
        on_demand_usd_per_hour=on_demand,
        reserved_3_years_usd_per_hour=reserved,
        spot_usd_per_hour=_range(entry["spot_usd_per_hour"], name, where=where)
        if "spot_usd_per_hour" in entry
        else None,
        regions_usd_per_hour={
            key: _usd(value, name, where=where) for key, value in dict(entry.get("regions_usd_per_hour", {})).items()
        },
        note=str(entry.get("note", "")),
    )


def _range(value: Any, name: str, *, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise PriceError(f"{where}: spot price of {name} must be [lowest, highest], got {value!r}")
    low, high = (_usd(part, name, where=where) for part in value)
    if low > high:
        raise PriceError(f"{where}: spot price of {name} begins with the higher one: {value}")
    return low, high


def _usd(value: Any, name: str, *, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 < value <= USD_PER_HOUR_MAX:
        raise PriceError(
            f"{where}: a price of {name} is {value!r}, expected dollars, above 0 to {USD_PER_HOUR_MAX:.0f}"
        )
    return float(value)


def _known(usd_per_hour: float | None, name: str, kind: str) -> float:
    if usd_per_hour is None:
        raise PriceError(
            f"no price of {name} {kind} is known", hint="add it to a copy of the price file: --prices FILE"
        )
    return usd_per_hour
