"""`fleetsight chaos`: the demonstration with trouble, and what has to stay true live on the screen."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetsight.cli.premises import SERVICE, kept_folder, premises_in
from fleetsight.cli.serve import log_to_stderr, stop_on_signals
from fleetsight.cli.service_demo import EXIT_NOT_GREEN, LOOK_S

if TYPE_CHECKING:
    import threading

    from rich.live import Live
    from rich.table import Table

    from fleetsight.fleet.installation import Installation
    from fleetsight.fleet.rehearsal.chaos import Troubles, Watch
    from fleetsight.fleet.rehearsal.trade import Trade

CALM_S = 240.0
"""After the last trouble, so long is waited until every session has come to an end."""

chaos_app = typer.Typer()


@chaos_app.command()
def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long there is trouble.")] = 5.0,
    coolers: Annotated[int, typer.Option(min=1, max=20, help="Simulated coolers.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the troubles.")] = 1,
    disk_mb: Annotated[int, typer.Option(min=0, help="Size of the service's disk, which is filled; 0: never.")] = 256,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep everything here; a temporary folder when not given.")
    ] = None,
    inside: Annotated[bool, typer.Option("--inside", hidden=True, help="Has mounts of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, at the end.")] = False,
) -> None:
    """Kill workers, drop links and fill the disk while simulated shoppers buy; exit code 1 when a rule is broken."""
    from fleetsight.fleet.rehearsal.chaos import LINK, Disk, Troubles, Watch
    from fleetsight.fleet.rehearsal.trade import Trade, TradePlan
    from fleetsight.settings import load

    if disk_mb and not inside and (status := _with_own_mounts()) is not None:
        raise typer.Exit(status)
    log_to_stderr()
    stop = stop_on_signals()
    plan = TradePlan(coolers=coolers, sessions=0, films_dir=load().data_dir.absolute() / "films", link=LINK)
    with kept_folder(data) as folder:
        disk = Disk(_small_disk(folder / SERVICE, disk_mb)) if disk_mb and inside else None
        with premises_in(folder, 0) as (premises, installation):
            trade = Trade(plan, premises, tell=lambda _name, _bought: None)
            watch = Watch(installation.rows, installation.blobs, installation.clock.now_ns)
            troubles = Troubles(trade.supervisor, premises.workers, coolers, disk, seed)
            stage = _Stage(trade, troubles, watch, installation)
            try:
                trade.open()
                stage.play(stop, minutes * 60, as_json=as_json)
            finally:
                troubles.end()
                trade.close()
            watch.look()
            green = stage.summary(as_json=as_json)
        if not green:
            raise typer.Exit(EXIT_NOT_GREEN)


@dataclass
class _Stage:
    """The trade, its troubles, and what is shown of both."""

    trade: "Trade"
    troubles: "Troubles"
    watch: "Watch"
    installation: "Installation"

    def play(self, stop: "threading.Event", for_s: float, *, as_json: bool) -> None:
        """Make trouble, then let everything come to its end."""
        from rich.console import Console
        from rich.live import Live

        begin_s = time.monotonic()
        console = Console(stderr=True, quiet=as_json)
        with Live(console=console, auto_refresh=False) as live:
            while time.monotonic() - begin_s < for_s and not stop.wait(LOOK_S):
                self._tend(live, for_s - (time.monotonic() - begin_s))
                self.troubles.tend()
            self.troubles.end()
            self.trade.close_doors()
            calm_s = time.monotonic()
            while time.monotonic() - calm_s < CALM_S and not self._calm and not stop.wait(LOOK_S):
                self._tend(live, 0.0)

    def summary(self, *, as_json: bool) -> bool:
        """Print what it came to; whether everything holds."""
        from fleetsight.fleet.rehearsal.tally import tally

        found = tally(self.installation.rows, self.trade.purchases)
        value = {
            **found.as_json(),
            "unfinished": found.unfinished,
            "troubles": dict(sorted(self.troubles.count.items())),
            "checks": self.watch.checks,
            "rules": self.watch.holds(),
            "broken": [asdict(broken) for broken in self.watch.broken],
            "ever_broken": dict(self.watch.ever),
        }
        if as_json:
            print(json.dumps(value))
        else:
            print("\n".join(f"{name}: {what}" for name, what in value.items()))
        return not self.watch.broken and not self.watch.ever and not found.unfinished

    @property
    def _calm(self) -> bool:
        from fleetsight.fleet.rehearsal.tally import tally

        return not tally(self.installation.rows, self.trade.purchases).unfinished

    def _tend(self, live: "Live", left_s: float) -> None:
        self.trade.supervisor.tend()
        if self.watch.tend(time.monotonic()):
            live.update(self._table(left_s), refresh=True)

    def _table(self, left_s: float) -> "Table":
        from rich.table import Table

        from fleetsight.fleet.invariants import RULES
        from fleetsight.fleet.rehearsal.tally import tally

        found = tally(self.installation.rows, self.trade.purchases)
        table = Table("rule", "holds", title=f"{left_s:.0f} s of trouble left")
        for rule, holds in self.watch.holds().items():
            table.add_row(RULES[rule], "yes" if holds else "NO")
        table.add_section()
        for name in ("sessions", "settled", "reviewed", "released", "unfinished", "expected_minor", "charged_minor"):
            table.add_row(name, str(getattr(found, name)))
        for name, count in sorted(self.troubles.count.items()):
            table.add_row(name, str(count))
        return table


def _with_own_mounts() -> int | None:
    """Run this command again where it may mount a small disk that goes with it; its exit status, None where that is not allowed."""
    for rights in ((), ("--user", "--map-root-user")):
        allowed = ["unshare", *rights, "--mount"]
        try:
            tried = subprocess.run([*allowed, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        except FileNotFoundError:
            break
        if tried.returncode == 0:
            # ours goes on as the child: signals reach both, and the child ends the tree in order
            return subprocess.run(
                [*allowed, sys.executable, "-m", "fleetsight", *sys.argv[1:], "--inside"], check=False
            ).returncode
    print("no small disk: mounting is not allowed here, so the disk is never filled", file=sys.stderr)
    return None


def _small_disk(folder: Path, size_mb: int) -> Path:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "fleetsight", str(folder)], check=True)
    return folder
