"""`fleetsight demo`: the whole service in one process tree, with simulated coolers and shoppers."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight.cli.premises import kept_folder, premises_in
from fleetsight.cli.serve import log_to_stderr, sign_in_url, stop_on_signals

if TYPE_CHECKING:
    from fleetsight.apps.cooler.device.simulated_shopper import Purchase
    from fleetsight.fleet.installation import Installation
    from fleetsight.fleet.rehearsal.trade import Trade

ONCE_SESSIONS = 9
LOOK_S = 0.05
EXIT_NOT_GREEN = 1
ENDS_S = 600.0
"""After the last shopper left, so long is waited for sessions that nobody saw end."""


demo_app = typer.Typer()


@demo_app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the last shopper, and print a summary.")] = False,
    sessions: Annotated[int, typer.Option(min=0, help="Shoppers; 0 means 9 with --once, and no end without.")] = 0,
    coolers: Annotated[int, typer.Option(min=1, max=20, help="Simulated coolers.")] = 3,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the pages; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep everything here; a temporary folder when not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, at the end.")] = False,
) -> None:
    """Trade with simulated coolers and shoppers against the real service; exit code 1 when something does not add up."""
    from fleetsight.fleet.rehearsal.trade import Trade, TradePlan
    from fleetsight.settings import load

    log_to_stderr()
    stop = stop_on_signals()
    wanted = sessions or (ONCE_SESSIONS if once else 0)
    plan = TradePlan(coolers=coolers, sessions=wanted, films_dir=load().data_dir.absolute() / "films")
    talk = sys.stderr if as_json else sys.stdout
    with kept_folder(data) as folder, premises_in(folder, port) as (premises, installation):
        print(f"operators: {sign_in_url(premises.base_url)} with the token {premises.operator_token}", file=talk)
        print(f"rendering what shoppers will do (kept for the next time); logs in {folder / 'logs'}", file=sys.stderr)
        trade = Trade(
            plan, premises, tell=lambda name, bought: print(receipt_line(name, bought), file=talk, flush=True)
        )
        try:
            trade.open()
            while not stop.wait(LOOK_S) and not trade.finished:
                trade.supervisor.tend()
            await_ends(installation, trade, stop)
        finally:
            trade.close()
        green = _summary(installation, trade, as_json=as_json)
        if not green:
            raise typer.Exit(EXIT_NOT_GREEN)


def receipt_line(name: str, bought: "Purchase") -> str:
    """One line about a shopper's visit."""
    waited = f"receipt after {bought.receipt_s:.1f} s" if bought.receipt_s is not None else bought.state
    lines = bought.receipt["lines"] if bought.receipt is not None else []
    goods = ", ".join(f"{line['count']} x {line['name']}" for line in lines) or "nothing charged"
    charged = f"{bought.charged}" if bought.charged is not None else "open"
    truth = f"taken {bought.expected}" + ("  WRONG" if bought.wrong else "")
    return f"{name}  {charged:>10}  {goods}  ({truth}; {waited}; unlocked in {bought.redeem_s * 1000:.0f} ms)"


def await_ends(installation: "Installation", trade: "Trade", stop: threading.Event) -> None:
    """Let workers bring every session to its end, or until the time for that is over."""
    from fleetsight.fleet.rehearsal.tally import tally

    limit_s = time.monotonic() + ENDS_S
    while time.monotonic() < limit_s and tally(installation.rows, trade.purchases).unfinished and not stop.wait(LOOK_S):
        trade.supervisor.tend()


def _summary(installation: "Installation", trade: "Trade", *, as_json: bool) -> bool:
    """Print what it came to; whether every session ended and the books balance."""
    from fleetsight.fleet.invariants import broken_rules
    from fleetsight.fleet.rehearsal.tally import tally

    found = tally(installation.rows, trade.purchases)
    broken = broken_rules(installation.rows, installation.blobs, now_ns=installation.clock.now_ns())
    for one in broken:
        print(f"broken: {one.rule}: {one.subject}: {one.detail}", file=sys.stderr)
    for refused in trade.refused:
        print(f"a shopper was refused: {refused}", file=sys.stderr)
    if found.unfinished:
        print(f"{found.unfinished} sessions have no end", file=sys.stderr)
    figures = found.as_json()
    if as_json:
        print(json.dumps(figures))
    else:
        print(", ".join(f"{name} {value}" for name, value in figures.items()))
    return not broken and not found.unfinished
