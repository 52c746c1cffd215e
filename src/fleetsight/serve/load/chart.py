"""Pictures of a load test as SVG, without a drawing library: the heat map of the grid, and latency by offered rate.

Each value stands in the picture as a number too, so that colour is never needed to understand it.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

from fleetsight.serve.load.curve import CurvePoint
from fleetsight.serve.load.grid import Cell

CELL_PX, MARGIN_PX = 72, 64
PLOT_WIDTH_PX, PLOT_HEIGHT_PX = 640, 320
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
STYLE = "font:12px sans-serif"


def heat_map(cells: Sequence[Cell]) -> str:
    """Draw the grid: rows are threads of the server, columns those of the client, each with its rate and p99.

    Args:
        cells: at least one.

    Returns:
        an SVG document.
    """
    rows = sorted({cell.server for cell in cells})
    columns = sorted({cell.client for cell in cells})
    best_hz = max(cell.point.good_hz for cell in cells) or 1.0
    parts = []
    for cell in cells:
        x = MARGIN_PX + columns.index(cell.client) * CELL_PX
        y = MARGIN_PX + rows.index(cell.server) * CELL_PX
        share = cell.point.good_hz / best_hz
        parts.append(
            f'<rect x="{x}" y="{y}" width="{CELL_PX}" height="{CELL_PX}" fill="hsl(212,70%,{95 - 50 * share:.0f}%)"/>'
        )
        parts.append(_text(x + CELL_PX / 2, y + 30, f"{cell.point.good_hz:.0f} Hz"))
        p99 = f"{cell.point.p99_ms:.0f} ms" if cell.point.p99_ms is not None else "no answer"
        parts.append(_text(x + CELL_PX / 2, y + 48, p99))
    for at, client in enumerate(columns):
        parts.append(_text(MARGIN_PX + (at + 0.5) * CELL_PX, MARGIN_PX - 8, str(client)))
    for at, server in enumerate(rows):
        parts.append(_text(MARGIN_PX - 20, MARGIN_PX + (at + 0.5) * CELL_PX, str(server or "as is")))
    width, height = 2 * MARGIN_PX + len(columns) * CELL_PX, 2 * MARGIN_PX + len(rows) * CELL_PX
    parts.append(_text(width / 2, 24, "answered in time (Hz) and p99 (ms): server threads down, client threads across"))
    return _document(max(width, 560), height, parts)


def latency_plot(curve: Sequence[CurvePoint], *, slo_ms: float) -> str:
    """Draw median and p99 latency over the offered rate, with the deadline; both axes logarithmic.

    Args:
        curve: points with different offered rates.
        slo_ms: the deadline.

    Returns:
        an SVG document.
    """
    series = {
        "p50": [(point.offered_hz, point.p50_ms) for point in curve if point.p50_ms is not None],
        "p99": [(point.offered_hz, point.p99_ms) for point in curve if point.p99_ms is not None],
    }
    return _plot(series, limit_ms=slo_ms, across="offered rate, Hz")


def grid_plot(cells: Sequence[Cell]) -> str:
    """Draw p99 latency over client threads, one line for each number of server threads, points labelled server-client.

    Args:
        cells: the grid.

    Returns:
        an SVG document.
    """
    series = {
        f"server {server or 'as is'}": [
            (float(cell.client), cell.point.p99_ms)
            for cell in cells
            if cell.server == server and cell.point.p99_ms is not None
        ]
        for server in sorted({cell.server for cell in cells})
    }
    labels = {(float(cell.client), cell.point.p99_ms): cell.label for cell in cells}
    return _plot(series, labels=labels, across="client threads")


def _plot(
    series: dict[str, list[tuple[float, float]]],
    *,
    across: str,
    labels: dict[tuple[float, float | None], str] | None = None,
    limit_ms: float | None = None,
) -> str:
    xs = [x for line in series.values() for x, _ in line] or [1.0]
    ys = [y for line in series.values() for _, y in line] + ([limit_ms] if limit_ms else []) or [1.0]
    wide, high = _scale(xs, PLOT_WIDTH_PX), _scale(ys, PLOT_HEIGHT_PX)

    def spot(x: float, y: float) -> tuple[float, float]:
        return MARGIN_PX + wide(x), MARGIN_PX + PLOT_HEIGHT_PX - high(y)

    parts = [
        f'<rect x="{MARGIN_PX}" y="{MARGIN_PX}" width="{PLOT_WIDTH_PX}" height="{PLOT_HEIGHT_PX}" fill="none" stroke="#888"/>'
    ]
    if limit_ms:
        y = spot(min(xs), limit_ms)[1]
        parts.append(f'<path d="M{MARGIN_PX},{y:.1f}h{PLOT_WIDTH_PX}" stroke="#888" stroke-dasharray="4"/>')
        parts.append(_text(MARGIN_PX + PLOT_WIDTH_PX - 50, y - 5, f"deadline {limit_ms:g} ms"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        spots = [spot(x, y) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts.append(_text(MARGIN_PX + 60, MARGIN_PX + 18 * (number + 1), name, colour))
        for (x, y), (value_x, value_y) in zip(spots, sorted(line), strict=True):
            label = (labels or {}).get((value_x, value_y), f"{value_y:.3g}")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' + _text(x, y - 7, label))
    below_px = MARGIN_PX + PLOT_HEIGHT_PX
    parts += [_text(spot(x, min(ys))[0], below_px + 18, f"{x:.3g}") for x in sorted(set(xs))]
    parts.append(_text(MARGIN_PX + PLOT_WIDTH_PX / 2, below_px + 40, f"latency, ms, over {across}"))
    return _document(PLOT_WIDTH_PX + 2 * MARGIN_PX, PLOT_HEIGHT_PX + 2 * MARGIN_PX, parts)


def _scale(values: Sequence[float], length_px: int) -> Callable[[float], float]:
    """A logarithmic scale with a margin of a tenth at both ends."""
    low, high = math.log(max(1e-6, min(values))), math.log(max(1e-6, *values))
    span = high - low or 1.0
    return lambda value: length_px * (0.1 + 0.8 * (math.log(max(value, 1e-6)) - low) / span)


def _text(x: float, y: float, text: str, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}">{escape(text)}</text>'


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" style="{STYLE};background:#fff">\n'
        f"{body}\n</svg>\n"
    )
