"""The agent: five loops around a station, each of which survives every failure of the others.

    door       many times a second: pictures, door, recording                       doorkeeper.tick
    commands   waits at the server for signed commands, obeys each once             doorkeeper.unlock
    reports    acknowledgements and door events, in order, until confirmed          courier.deliver_reports
    evidence   segments and manifests, until verified                               courier.deliver_evidence
    pulse      heartbeat: tells the server how the device is, learns time and config; shows a fresh code to shoppers

A loop that fails rests, longer each time and never exactly as long as other devices do, and goes on.
"""

import logging
import random
import threading
from collections.abc import Callable

from fleetsight.apps.cooler.device.courier import Courier, Refusal
from fleetsight.apps.cooler.device.doorkeeper import Doorkeeper
from fleetsight.apps.cooler.device.link.tokens import Signer, Unbelievable, read_unlock
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, Offered, Pulse, RefusedError, Uplink
from fleetsight.apps.cooler.device.spool import Stage
from fleetsight.apps.cooler.device.station import Station
from fleetsight.clock import SECOND_NS

HEARTBEAT_S = 8.0  # the server calls a device offline after 30 s: three may be lost
QR_ROTATE_S = 30.0  # a code lives for 60 s, so one that was just photographed still has half its life
REACHABLE_S = 25.0
POLL_WAIT_S = 20.0
POLL_TOO_FAST_S = 0.5
STOP_MAX_S = 20.0
BUSY_TICK_S = 0.01
IDLE_TICK_S = 0.04
BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 10.0
IGNORED_S = 15  # a command that was not believed is dead after 10 s anyway
IGNORED_MAX = 100
LOG = logging.getLogger(__name__)


class Backoff:
    """How long to rest after failures: full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015)."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """The last try went well."""
        self._failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Note another failure.

        Args:
            at_least_s: what the server asked for.
        Returns:
            seconds to rest.
        """
        top_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return at_least_s + random.uniform(top_s / 2, top_s)


class Agent:
    """One device at work.

    Args:
        station: its parts.
        uplink: the way to the server.
        signer: speaks for it.
    """

    def __init__(self, station: Station, uplink: Uplink, *, signer: Signer) -> None:
        self._station = station
        self._uplink = uplink
        self._signer = signer
        self.doorkeeper = Doorkeeper(station)
        self.courier = Courier(station, uplink)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pulse_seq = 0
        self._heard_ns: int | None = None
        self._ignored: dict[int, int] = {}
        self._shown_ns: int | None = None
        self._shown_opening = 0

    @property
    def all_delivered(self) -> bool:
        """Whether nothing waits: no session at the door, no evidence, no event."""
        waiting = any(session.stage is not Stage.DISPUTED for session in self._station.spool.sessions())
        return self.doorkeeper.session_id is None and not waiting and not self._station.journal.waiting

    def start(self) -> None:
        """Take up what the last start left, and begin to work."""
        self.doorkeeper.boot()
        bells = {"reports": self._station.reports_due, "evidence": self._station.evidence_due}
        steps: dict[str, Callable[[], float]] = {
            "door": lambda: BUSY_TICK_S if self.doorkeeper.tick() else IDLE_TICK_S,
            "commands": self.poll_commands,
            "reports": self.courier.deliver_reports,
            "evidence": self.courier.deliver_evidence,
            "pulse": self.beat,
            "code": self.show_code,
        }
        for name, step in steps.items():
            thread = threading.Thread(
                target=self._loop, args=(step, bells.get(name, self._stop)), name=f"device-{name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop working; what is under way is finished or left for the next start."""
        self._stop.set()
        self._station.reports_due.set()
        self._station.evidence_due.set()
        for thread in self._threads:
            if (
                thread.name != "device-commands"
            ):  # it waits at the server for up to POLL_WAIT_S and obeys nothing any more
                thread.join(timeout=STOP_MAX_S)
        self._uplink.close()

    def poll_commands(self) -> float:
        """Wait at the server for commands, and obey them.

        Returns:
            seconds to rest.
        Raises:
            LinkDownError: the line failed.
            RefusedError: the server does not know the device any more.
        """
        before_ns = self._station.clock.now_ns()
        offered = self._uplink.commands(self._station.memory.last_command_seq, wait_s=POLL_WAIT_S)
        now_ns = self._station.clock.now_ns()
        self._ignored = {seq: until for seq, until in self._ignored.items() if until > now_ns}
        fresh = [command for command in offered if command.seq not in self._ignored]
        for command in sorted(fresh, key=lambda command: command.seq):
            self._obey(command)
        too_fast = not fresh and now_ns - before_ns < POLL_TOO_FAST_S * SECOND_NS
        return POLL_TOO_FAST_S if too_fast else 0.0

    def beat(self) -> float:
        """Send a heartbeat.

        Returns:
            seconds until the next one.
        Raises:
            LinkDownError: the line failed.
            RefusedError: the server does not know the device any more.
        """
        station = self._station
        self._pulse_seq += 1
        pulse = Pulse(
            boot_id=station.journal.boot_id,
            seq=self._pulse_seq,
            at_ns=station.clock.now_ns(),
            door=self.doorkeeper.door.value,
            camera_ok=self.doorkeeper.cameras_ok,
            temperature_c=None,
            spool_sessions=len(station.spool.sessions()),
            spool_bytes=station.spool.size_bytes,
        )
        station.config = self._uplink.heartbeat(pulse)
        self._heard_ns = station.clock.now_ns()
        return HEARTBEAT_S

    def show_code(self) -> float:
        """Show a shopper how to open the door, while that is possible.

        Returns:
            seconds until to look again.
        """
        now_ns = self._station.clock.now_ns()
        reachable = self._heard_ns is not None and now_ns - self._heard_ns < REACHABLE_S * SECOND_NS
        if not reachable or not self.doorkeeper.inviting:
            if self._shown_ns is not None:
                self._shown_ns = None
                self._station.tell("qr_hidden", {})
        elif (
            self._shown_ns is None
            or now_ns - self._shown_ns >= QR_ROTATE_S * SECOND_NS
            or self._shown_opening != self.doorkeeper.openings
        ):
            self._shown_ns, self._shown_opening = now_ns, self.doorkeeper.openings
            code = self._signer.qr_token(self._station.server_time.now_ns())
            self._station.tell("qr", {"token": code.token, "url": code.url, "expires_ns": code.expires_ns})
        return IDLE_TICK_S

    def _obey(self, offered: Offered) -> None:
        if self._stop.is_set():
            return
        now_ns = self._station.clock.now_ns()
        command = read_unlock(offered.token, self._signer.identity, server_ns=self._station.server_time.now_ns())
        if isinstance(command, Unbelievable):
            reason: str | None = command.reason
            if len(self._ignored) < IGNORED_MAX:
                self._ignored[offered.seq] = now_ns + IGNORED_S * SECOND_NS
        elif not self._station.memory.take_up(command.seq):
            self._station.tell("command_replayed", {"seq": command.seq})
            return  # what became of it was said when it came first
        else:
            reason = self.doorkeeper.unlock(command)
        if reason is not None:
            self._station.tell("command_refused", {"seq": offered.seq, "reason": reason})
            self.courier.report_refusal(Refusal(offered.seq, now_ns, reason))

    def _loop(self, step: Callable[[], float], bell: threading.Event) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            if bell is not self._stop:
                bell.clear()
            try:
                rest_s = step()
                backoff.reset()
            except LinkDownError as error:
                LOG.info("link down: %s", error)
                rest_s = backoff.next_s(error.wait_s)
            except RefusedError as error:
                LOG.warning("refused: %s", error)
                rest_s = backoff.next_s()
            except Exception:  # the loop's boundary: a device on a wall has nobody to restart it
                if not self._stop.is_set():
                    LOG.exception("loop failed")
                rest_s = backoff.next_s()
            bell.wait(rest_s)
