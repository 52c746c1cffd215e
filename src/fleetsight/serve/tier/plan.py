"""What should be served: models, their variants, and where each variant runs. Read from the command line or from one TOML file."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fleetsight.errors import Error
from fleetsight.serve.profile import Profile

BATCH_MAX = 256
REPLICAS_MAX = 64
STREAMS_MAX = 64
COUNTED = re.compile(r"(.*)x(\d+)(?:\.\.(\d+))?")


class PlanError(Error):
    """A description of what to serve that makes no sense."""

    code = "serve_plan"


@dataclass(frozen=True)
class Variant:
    """One way to run a model.

    Attributes:
        model: name that callers use.
        variant: its own name, unique within the model.
        source: where the engine comes from (`fleetsight.serve.engine.source`).
        target: chip and run time of a portable model.
        usd_per_hour: of one replica; what the router compares.
        replicas: how many; when they are scaled, the fewest.
        replicas_max: the most when they are scaled by the rate of requests; 0: always `replicas`.
        batch_max: most frames of one batch; what pays is measured at start.
        streams: batches at once in one replica.
        threads: most threads of one batch; 0: every core.
        address: of a replica that somebody else runs; empty: we run it.
        profile: file that `fleetsight load` wrote; empty: what is measured at start.
        version: of the model, for answers.
    """

    model: str
    variant: str
    source: str
    target: str = "auto"
    usd_per_hour: float = 0.0
    replicas: int = 1
    replicas_max: int = 0
    batch_max: int = 1
    streams: int = 1
    threads: int = 0
    address: str = ""
    profile: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        for name, high in (("replicas", REPLICAS_MAX), ("batch_max", BATCH_MAX), ("streams", STREAMS_MAX)):
            if not 1 <= getattr(self, name) <= high:
                raise PlanError(f"{self.model}/{self.variant}: {name} is {getattr(self, name)}, expected 1 to {high}")
        if self.replicas_max and not self.replicas <= self.replicas_max <= REPLICAS_MAX:
            said = f"replicas_max is {self.replicas_max}, expected {self.replicas} to {REPLICAS_MAX}"
            raise PlanError(f"{self.model}/{self.variant}: {said}", hint="write x1..4 for one to four")
        if self.is_elastic and self.address:
            hint = "leave out replicas_max: only who runs a replica can start another"
            raise PlanError(f"{self.model}/{self.variant}: somebody else runs {self.address}", hint=hint)
        for name in (self.model, self.variant):
            if not name or not all(sign.isalnum() or sign in "._-" for sign in name):
                raise PlanError(f"{name!r} is no name", hint="letters, digits, dot, dash and underscore")
        if not self.usd_per_hour >= 0:
            raise PlanError(f"{self.model}/{self.variant}: usd_per_hour is {self.usd_per_hour}, expected >= 0")

    @property
    def is_elastic(self) -> bool:
        """Whether replicas come and go with the rate of requests."""
        return self.replicas_max > self.replicas

    def read_profile(self) -> Profile | None:
        """What was measured before; None when nothing was."""
        return Profile.from_json(Path(self.profile).read_text(encoding="utf-8")) if self.profile else None


def from_words(words: str, name_of: Mapping[str, str] | None = None) -> list[Variant]:
    """Read ``NAME-OR-FOLDER[=VARIANT,...]``, where a variant is a target, with ``@DOLLARS`` an hour and ``xREPLICAS`` or ``xMIN..MAX`` if wanted.

    Args:
        words: as given on the command line, such as ``cooler-detector=openvino@0.17x2,onnxruntime``.
        name_of: names of sources that do not carry one.
    Returns:
        its variants.

    Raises:
        PlanError: it cannot be read.
    """
    from fleetsight.serve.engine.source import Source

    text, _, listed = words.partition("=")
    model = (name_of or {}).get(text) or Source(text).model_name()
    variants = []
    for word in listed.split(",") if listed else ["auto"]:
        counted = COUNTED.fullmatch(word)
        rest, least, most = counted.groups() if counted else (word, "1", None)
        target, _, dollars = rest.partition("@")
        try:
            usd_per_hour, counts = float(dollars or 0), (int(least), int(most or 0))
            variant = Variant(
                model, target, text, usd_per_hour=usd_per_hour, replicas=counts[0], replicas_max=counts[1]
            )
        except ValueError as error:
            raise PlanError(
                f"{word!r} is no variant",
                hint="write TARGET, TARGET@DOLLARS, TARGET@DOLLARSxREPLICAS or TARGET@DOLLARSxMIN..MAX",
            ) from error
        variants.append(replace(variant, target=target if ":" not in text else "auto"))
    return variants


def from_file(path: Path) -> list[Variant]:
    """Read a TOML file with a table ``[[variant]]`` for each variant; the keys are the attributes of `Variant`.

    Args:
        path: of the file.
    Returns:
        its variants.

    Raises:
        PlanError: it is no such file.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is no TOML file: {error}") from error
    rows = told.get("variant")
    if not isinstance(rows, list) or not rows or set(told) != {"variant"}:
        raise PlanError(f"{path} must hold tables [[variant]] and nothing else")
    return [_from_row(row, path) for row in rows]


def check(variants: list[Variant]) -> list[Variant]:
    """Refuse two variants of one name.

    Args:
        variants: of every model.
    Returns:
        the same.

    Raises:
        PlanError: there are none, or two are called the same.
    """
    seen: set[tuple[str, str]] = set()
    for one in variants:
        if (one.model, one.variant) in seen:
            raise PlanError(f"model {one.model!r} has two variants {one.variant!r}", hint="give each its own name")
        seen.add((one.model, one.variant))
    return variants


def _from_row(row: Mapping[str, Any], path: Path) -> Variant:
    kinds = {entry.name: entry.type for entry in fields(Variant)}
    for name, value in row.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(kinds)}"
            raise PlanError(f"{path}: a variant has no {name!r}", hint=hint)
        wanted = (int, float) if kinds[name] is float else kinds[name]
        if isinstance(value, bool) or not isinstance(value, wanted):  # type: ignore[arg-type]
            raise PlanError(f"{path}: {name} is {value!r}, expected {getattr(kinds[name], '__name__', kinds[name])}")
    try:
        return Variant(**row)
    except TypeError as error:
        raise PlanError(f"{path}: a variant needs model, variant and source: {error}") from error
