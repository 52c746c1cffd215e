"""The demo's page: each session with its clip, its timeline, its receipt beside the truth, and evidence per line.

One HTML file beside the clips, no server, no build step. The timeline's ticks seek the clip.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from fleetsight.apps.cooler.events import Event, Kind
from fleetsight.money import Money

if TYPE_CHECKING:
    from fleetsight.apps.cooler.show.demo import Shown

COLOURS: dict[str, str] = {
    Kind.TAKE: "#c8402f",
    Kind.PUT_BACK: "#2b8a57",
    Kind.MOVE: "#3a6bc4",
    Kind.FOREIGN_ITEM: "#a02fa0",
    Kind.UNKNOWN: "#c98a12",
}

STYLE = """
:root { --ink: #1d2430; --soft: #667085; --line: #e3e7ee; --paper: #fff; --ground: #f5f6f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 1160px; margin: 0 auto; padding: 16px 20px; }
h1 { margin: 0; font-size: 26px; } h2 { margin: 0; font-size: 18px; } p { margin: 6px 0; color: var(--soft); }
article { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px; margin: 0 0 22px; }
.head { display: flex; gap: 12px; align-items: baseline; flex-wrap: wrap; }
.badge { border-radius: 99px; padding: 1px 10px; font-size: 13px; font-weight: 600; background: #eef1f6; }
.charge { background: #e2f3e8; color: #1c6b3f; } .review { background: #fdf0d5; color: #8a5a00; }
.release { background: #e6eefb; color: #2a4f94; } .wrong { background: #fbe1de; color: #9b2415; }
.columns { display: grid; grid-template-columns: minmax(0, 640px) minmax(0, 1fr); gap: 18px; margin-top: 12px; }
@media (max-width: 900px) { .columns { grid-template-columns: 1fr; } }
video { width: 100%; border-radius: 6px; background: #000; display: block; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: 4px 6px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; } tr.off td { background: #fdeceb; } tr.total td { font-weight: 600; }
svg { width: 100%; height: 66px; display: block; margin-top: 8px; } svg .tick { cursor: pointer; }
svg text { font-size: 11px; fill: var(--soft); }
details { margin-top: 8px; border-top: 1px solid var(--line); padding-top: 8px; }
summary { cursor: pointer; } summary b { color: var(--mark); }
details img { width: 100%; margin-top: 6px; border-radius: 4px; }
.small { font-size: 13px; color: var(--soft); }
"""

SCRIPT = """
for (const tick of document.querySelectorAll(".tick")) {
  tick.addEventListener("click", () => {
    const video = tick.closest("article").querySelector("video");
    video.currentTime = Math.max(0, Number(tick.dataset.at) - 0.5);
    video.play();
  });
}
"""


def render_page(sessions: Sequence["Shown"]) -> str:
    """The whole page.

    Args:
        sessions: settled sessions with their evidence written beside the page.
    Returns:
        HTML; file names are relative to the page.
    """
    exact = sum(item.outcome.exact for item in sessions)
    charged = sum(item.settlement.decision == "charge" for item in sessions)
    articles = "\n".join(_article(item) for item in sessions)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fleetsight demo: clips to baskets</title><style>{STYLE}</style></head><body>
<header><h1>From a transaction clip to a basket</h1>
<p>{len(sessions)} rendered sessions, {exact} baskets exact, {charged} charged without a person. Every line shows the frames
and the rule behind it. Above the timeline: what was seen. Below: what really happened.</p></header>
<main>{articles}</main><script>{SCRIPT}</script></body></html>
"""


def _article(item: "Shown") -> str:
    settlement = item.settlement
    verdict = '<span class="badge">basket exact</span>'
    if not item.outcome.exact:
        verdict = '<span class="badge wrong">basket wrong</span>'
    clip = f"{item.folder}/{item.evidence['clip']}"
    evidence = "".join(_line(item, index, event) for index, event in enumerate(settlement.events))
    stages = " · ".join(f"{name} {seconds:.2f} s" for name, seconds in settlement.stages_s.items())
    return f"""<article>
<div class="head"><h2>{escape(item.outcome.scenario.replace("_", " "))}</h2>
<span class="badge {settlement.decision}">{settlement.decision}</span>{verdict}
<span class="small">{escape(settlement.reason)}</span></div>
<div class="columns"><div>
<video src="{escape(clip)}" controls muted playsinline preload="metadata"></video>{_timeline(item)}</div>
<div>{_receipt(item)}<p class="small">{settlement.summary.frames} frames, {settlement.frames_per_s:.0f} frames/s: {stages}.
Confidence {settlement.confidence:.3f}.</p></div></div>{evidence}</article>"""


def _receipt(item: "Shown") -> str:
    basket, true = item.settlement.basket, item.outcome.true_basket
    currency = item.catalog.currency
    rows, total = [], Money(0, currency)
    for sku in sorted({*basket, *true}):
        entry = item.catalog.skus.get(sku)
        price = Money(entry.price_minor if entry else 0, currency) * basket.get(sku, 0)
        total = total + price
        off = ' class="off"' if basket.get(sku, 0) != true.get(sku, 0) else ""
        rows.append(
            f"<tr{off}><td>{escape(entry.name if entry else sku)}<br><span class='small'>{escape(sku)}</span></td>"
            f"<td class=n>{basket.get(sku, 0)}</td><td class=n>{true.get(sku, 0)}</td><td class=n>{escape(str(price))}</td></tr>"
        )
    sum_row = f"<tr class=total><td>total</td><td></td><td></td><td class=n>{escape(str(total))}</td></tr>"
    body = "".join([*rows, sum_row]) if rows else "<tr><td colspan=4>Nothing was taken.</td></tr>"
    return (
        f"<table><tr><th>SKU</th><th class=n>basket</th><th class=n>truth</th><th class=n>price</th></tr>{body}</table>"
    )


def _timeline(item: "Shown") -> str:
    end_s = max(item.settlement.end_s, 0.1)

    def at(moment_s: float) -> float:
        return 10 + 620 * min(max(moment_s / end_s, 0.0), 1.0)

    marks = [
        f'<g class="tick" data-at="{event.at_s:.2f}"><rect x="{at(event.window_s[0]):.1f}" y="18" height="10" rx="2" '
        f'width="{max(4.0, at(event.window_s[1]) - at(event.window_s[0])):.1f}" fill="{COLOURS[event.kind]}" opacity=".3"/>'
        f'<circle cx="{at(event.at_s):.1f}" cy="23" r="6" fill="{COLOURS[event.kind]}"/>'
        f"<title>{escape(f'{event.kind} {event.sku} at {event.at_s:.1f} s')}</title></g>"
        for event in item.settlement.events
    ]
    truths = [
        f'<g class="tick" data-at="{at_s:.2f}"><path d="M{at(at_s):.1f} 38 l6 11 h-12 z" fill="#667085"/>'
        f"<title>{escape(f'truth: {text} at {at_s:.1f} s')}</title></g>"
        for text, at_s in item.truth
    ]
    return (
        '<svg viewBox="0 0 640 66" role="img" aria-label="timeline"><line x1="10" x2="630" y1="33" y2="33" stroke="#c6ccd8"/>'
        f'<text x="10" y="12">seen</text><text x="10" y="62">truth</text><text x="630" y="62" text-anchor="end">'
        f"{end_s:.1f} s</text>{''.join(marks)}{''.join(truths)}</svg>"
    )


def _line(item: "Shown", index: int, event: Event) -> str:
    others = ", ".join(
        f"{escape(a.sku or 'not in catalog')} {a.score:.2f}" for a in event.alternatives[:4] if a.score >= 0.005
    )
    name = item.evidence.get(f"event_{index}")
    strip = (
        f'<img loading="lazy" alt="frames around the event" src="{escape(f"{item.folder}/{name}")}">' if name else ""
    )
    count = f"{event.count} × " if event.count > 1 else ""
    return (
        f'<details{" open" if index == 0 else ""} style="--mark: {COLOURS[event.kind]}"><summary><b>{escape(event.kind.replace("_", " "))}</b> {count}'
        f"{escape(event.sku or 'not in catalog')} at {event.at_s:.1f} s <span class='small'>confidence "
        f"{event.confidence:.2f}, rule {escape(event.rule)}</span></summary>"
        f"<div class='small'>Alternatives: {others or 'none'}. Window {event.window_s[0]:.1f} to {event.window_s[1]:.1f} s."
        f"</div>{strip}</details>"
    )
