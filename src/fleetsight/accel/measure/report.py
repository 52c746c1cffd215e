"""The report of a bench: one row for each way a model was run, with its speed, its agreement and its price side by side.

`ratio_default_eager` compares with the torch module as it is (float32, one picture at a time), `ratio_tuned_eager` with the
same module tuned. A row of one picture and one stream is about waiting: its ratios are those of median times, against eager
runs of one picture. Every other row is about throughput: its ratios are pictures per second, against the best batch that was
tried. Ratios are medians over rounds in which both took turns, never quotients of figures from different moments.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fleetsight.accel.measure.latency import MeasureError
from fleetsight.accel.measure.prices import usd_per_million
from fleetsight.accel.measure.rounds import Turns, ratios

if TYPE_CHECKING:
    from rich.table import Table

REPORT_FILE = "report.json"
PLOT_STEM = "report"

EAGER_DEFAULT = "default"
EAGER_TUNED = "tuned"


@dataclass(frozen=True)
class Row:
    """One way to run the model.

    Attributes:
        target: of the compiled model, or "torch-eager".
        precision: arithmetic inside.
        batch: pictures in a batch.
        streams: requests side by side; None: the target's own choice.
        cores: processors it was held to; empty: all.
        p50_ms: median time of one batch alone.
        p90_ms: nine of ten are at most this.
        p99_ms: 99 of a hundred are at most this.
        images_per_s: pictures a second, all there from the start.
        spread: (largest - smallest) / median of pictures a second over the rounds.
        ratio_default_eager: how many times as fast as eager code as it is; None: not compared.
        ratio_tuned_eager: the same against tuned eager code.
        parity: whether the answers are those of float32 eager code; None for eager code itself.
        parity_detail: figures of the gates.
        usd_per_million: dollars for a million pictures; None without a price.
        load_s: to load what was compiled.
        warm_up_s: until it ran steadily.
        memory_mb: most memory of its process.
        scenarios: MLPerf's scenarios and the fleet's, by name; empty when they were not asked for.
    """

    target: str
    precision: str
    batch: int
    streams: int | None
    cores: tuple[int, ...]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    images_per_s: float
    spread: float
    ratio_default_eager: float | None
    ratio_tuned_eager: float | None
    parity: Literal["pass", "fail"] | None
    parity_detail: Mapping[str, Any]
    usd_per_million: float | None
    load_s: float
    warm_up_s: float
    memory_mb: float
    scenarios: Mapping[str, Any] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Whether the row is about the time of one picture."""
        return self.batch == 1 and self.streams == 1


@dataclass(frozen=True)
class Failed:
    """A way to run the model that came to nothing.

    Attributes:
        target: of the row.
        precision: of the row.
        batch: of the row.
        streams: of the row.
        reason: what happened, and the way out.
    """

    target: str
    precision: str
    batch: int
    streams: int | None
    reason: str


@dataclass(frozen=True)
class Priced:
    """What an hour costs, and how busy the machine is.

    Attributes:
        instance: the machine that is priced.
        usd_per_hour: its price.
        utilisation: share of the paid time in which it is busy.
        dated: day of the price file.
    """

    instance: str
    usd_per_hour: float
    utilisation: float
    dated: str


@dataclass(frozen=True)
class Report:
    """A bench of one model on one machine.

    Attributes:
        model: its name.
        hardware: what it ran on.
        rows: compiled ways to run it.
        baselines: eager code, by "default" and "tuned", one row for each batch.
        failed: what could not be measured.
        notes: what else the reader must know: random weights, made-up pictures.
        priced: how dollars were reckoned; None: not at all.
        versions: of what computed.
        made_at: UTC, ISO 8601.
    """

    model: str
    hardware: str
    rows: tuple[Row, ...]
    baselines: Mapping[str, tuple[Row, ...]]
    failed: tuple[Failed, ...]
    notes: tuple[str, ...]
    priced: Priced | None
    versions: Mapping[str, str]
    made_at: str

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON; `model`, `hardware` and `rows` are what scripts rely on."""
        return asdict(self)

    def save(self, folder: Path) -> list[Path]:
        """Write `report.json`, and plots where matplotlib is installed.

        Args:
            folder: made when it is missing.

        Returns:
            the files.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / REPORT_FILE
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        return [path, *draw(self, folder)]


@dataclass(frozen=True)
class Measured:
    """What a child measured of one way to run the model.

    Attributes:
        target: of the row.
        batch: pictures in a batch.
        streams: requests side by side.
        turns: its rounds.
        cores: processors it was held to; empty: all.
        parity: None for eager code.
        parity_detail: figures of the gates.
        scenarios: asked for beside the rounds.
    """

    target: str
    batch: int
    streams: int | None
    turns: Turns
    cores: tuple[int, ...] = ()
    parity: Literal["pass", "fail"] | None = None
    parity_detail: Mapping[str, Any] = field(default_factory=dict)
    scenarios: Mapping[str, Any] = field(default_factory=dict)


def make_row(one: Measured, eager: Mapping[str, Sequence[Measured]], *, priced: Priced | None) -> Row:
    """Turn measurements into a row.

    Args:
        one: what was measured.
        eager: baselines that took turns with it, by kind; each of several batches.
        priced: for dollars; None: none.

    Returns:
        the row.

    Raises:
        MeasureError: it has no rounds.
    """
    turns = one.turns
    if not turns.turns:
        raise MeasureError(f"{one.target} was not measured in any round")
    rates = turns.values("images_per_s")
    rate = statistics.median(rates)
    cost = usd_per_million(priced.usd_per_hour, rate, utilisation=priced.utilisation) if priced else None
    return Row(
        target=one.target,
        precision=str(turns.ready["precision"]),
        batch=one.batch,
        streams=one.streams,
        cores=one.cores,
        p50_ms=turns.middle("latency", "p50_ms"),
        p90_ms=turns.middle("latency", "p90_ms"),
        p99_ms=turns.middle("latency", "p99_ms"),
        images_per_s=rate,
        spread=(max(rates) - min(rates)) / rate,
        ratio_default_eager=ratio_to_eager(one, eager.get(EAGER_DEFAULT, ())),
        ratio_tuned_eager=ratio_to_eager(one, eager.get(EAGER_TUNED, ())),
        parity=one.parity,
        parity_detail=one.parity_detail,
        usd_per_million=cost,
        load_s=float(turns.ready["load_s"]),
        warm_up_s=float(turns.ready["warm_up_s"]),
        memory_mb=turns.middle("memory_mb"),
        scenarios=one.scenarios,
    )


def ratio_to_eager(one: Measured, eager: Sequence[Measured]) -> float | None:
    """How many times as fast as eager code.

    Args:
        one: what was measured.
        eager: one kind of baseline, at several batches.

    Returns:
        the median ratio (see the module); None without a baseline to compare with.
    """
    if one.batch == 1 and one.streams == 1:
        alone = next((baseline for baseline in eager if baseline.batch == 1), None)
        if alone is None:
            return None
        # Times: the baseline stands above the line.
        return statistics.median(ratios(alone.turns, one.turns, "latency", "p50_ms"))
    if not eager:
        return None
    best = max(eager, key=lambda baseline: baseline.turns.middle("images_per_s"))
    return statistics.median(ratios(one.turns, best.turns, "images_per_s"))


def table_of(report: Report) -> "Table":
    """The report for a terminal.

    Args:
        report: the report.

    Returns:
        a Rich table: eager rows first, then compiled ones.
    """
    from rich.table import Table

    table = Table(title=f"{report.model} on {report.hardware}")
    for head, justify in _HEADS:
        table.add_column(head, justify=justify, no_wrap=True)
    for kind, rows in report.baselines.items():
        for row in rows:
            table.add_row(f"eager, {kind}", *_cells(row))
    for row in report.rows:
        table.add_row(row.target, *_cells(row))
    for one in report.failed:
        table.add_row(one.target, one.precision, str(one.batch), _count(one.streams), *[""] * 8, "failed", "")
    return table


_HEADS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("target", "left"),
    ("precision", "left"),
    ("batch", "right"),
    ("streams", "right"),
    ("p50 ms", "right"),
    ("p99 ms", "right"),
    ("images/s", "right"),
    ("± %", "right"),
    ("x eager", "right"),
    ("x tuned", "right"),
    ("MB", "right"),
    ("load s", "right"),
    ("parity", "left"),
    ("$/million", "right"),
)


def _cells(row: Row) -> list[str]:
    return [
        row.precision,
        str(row.batch),
        _count(row.streams) + _pinned(row),
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"{row.images_per_s:.1f}",
        f"{50 * row.spread:.0f}",
        "" if row.ratio_default_eager is None else f"{row.ratio_default_eager:.2f}",
        "" if row.ratio_tuned_eager is None else f"{row.ratio_tuned_eager:.2f}",
        f"{row.memory_mb:.0f}",
        f"{row.load_s:.1f}",
        row.parity or "",
        "" if row.usd_per_million is None else f"{row.usd_per_million:.3f}",
    ]


def _count(streams: int | None) -> str:
    return "auto" if streams is None else str(streams)


def _way(name: str, row: Row) -> str:
    return f"{name} {row.precision} b{row.batch} s{_count(row.streams)}{_pinned(row)}"


def _pinned(row: Row) -> str:
    return f" on {len(row.cores)} core{'s' if len(row.cores) > 1 else ''}" if row.cores else ""


def scenario_lines(report: Report) -> list[str]:
    """MLPerf's scenarios and the fleet's, in words.

    Args:
        report: the report.

    Returns:
        one line for each row that has them.
    """
    lines = []
    for row in report.rows:
        found = row.scenarios
        if not found:
            continue
        if "failed" in found:
            parts = [f"failed: {found['failed']}"]
        else:
            server, fleet = found["server"], found["fleet"]
            parts = [f"SingleStream p90 {found['single_stream']['p90_ms']:.1f} ms"] if "single_stream" in found else []
            parts += [
                f"MultiStream p99 {found['multi_stream']['p99_ms']:.1f} ms",
                f"Server {server['rate_hz']:.1f}/s within {server['bound_ms']:g} ms",
                f"Offline {row.images_per_s:.1f}/s",
                f"Fleet {fleet['cameras']} cameras x {fleet['rate_hz']:g}/s within {fleet['deadline_ms']:g} ms",
            ]
        lines.append(f"{_way(row.target, row)}: {', '.join(parts)}")
    return lines


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw speed, waiting and ratios of every row.

    Args:
        report: the report.
        folder: where `report.svg` and `report.png` go.

    Returns:
        the files; none where matplotlib is not installed or there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    eager = [(f"eager {kind}", row) for kind, rows in report.baselines.items() for row in rows]
    named = [*eager, *((row.target, row) for row in report.rows)]
    if not named:
        return []
    labels = [_way(name, row) for name, row in named]
    rows = [row for _, row in named]
    figure = Figure(figsize=(13, 1.6 + 0.32 * len(rows)), layout="constrained")
    speed, waiting, ratio = figure.subplots(1, 3, sharey=True)
    places = range(len(rows))
    colours = ["#d95f02" if row.parity == "fail" else "#1b9e77" if row.parity else "#999999" for row in rows]
    speed.barh(places, [row.images_per_s for row in rows], color=colours)
    speed.set(xlabel="images a second", yticks=list(places), yticklabels=labels)
    speed.invert_yaxis()
    # Lines and no bars: on a logarithmic axis the length of a bar says nothing.
    waiting.hlines(places, [row.p50_ms for row in rows], [row.p99_ms for row in rows], colors=colours)
    waiting.scatter([row.p50_ms for row in rows], places, color=colours, zorder=2)
    waiting.set(xlabel="ms of one batch, p50 to p99", xscale="log")
    waiting.grid(axis="x", which="both", color="#eeeeee")
    ratio.barh(places, [row.ratio_tuned_eager or 0.0 for row in rows], color=colours)
    ratio.axvline(1.0, color="black", linewidth=0.8)
    ratio.set(xlabel="times as fast as tuned eager")
    figure.suptitle(f"{report.model} on {report.hardware}\norange: its answers are not those of float32", fontsize=9)
    paths = [folder / f"{PLOT_STEM}.{kind}" for kind in ("svg", "png")]
    for path in paths:
        figure.savefig(path, dpi=120)
    return paths
