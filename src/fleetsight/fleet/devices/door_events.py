"""How events of doors and cameras reach sessions, and a person when no session explains them."""

from fleetsight.apps.cooler.session import answers
from fleetsight.apps.cooler.session.answers import DeviceEventKind, DeviceResult
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.clock import Clock
from fleetsight.fleet.devices.alerts import Alert, raise_alert
from fleetsight.fleet.devices.events import DeviceEvent
from fleetsight.fleet.devices.registry import Device
from fleetsight.store.rows import Rows

ALERTING = frozenset({"forced", "camera_dead"})


class DoorEvents:
    """Lets events take effect.

    Args:
        rows: where alerts are kept.
        clock: server time.
        sessions: decides what an event means.
    """

    def __init__(self, rows: Rows, clock: Clock, *, sessions: Sessions) -> None:
        self._rows = rows
        self._clock = clock
        self._sessions = sessions

    def __call__(self, device: Device, boot_id: str, event: DeviceEvent) -> str:
        """Let an event take effect; again changes nothing.

        Args:
            device: where it happened.
            boot_id: in which boot.
            event: what happened.
        Returns:
            what came of it: applied, repeated, noted or incident.
        """
        outcome = self._sessions.device_event(
            answers.DeviceEvent(
                tenant_id=device.tenant_id,
                device_id=device.device_id,
                boot_id=boot_id,
                seq=event.seq,
                kind=DeviceEventKind(event.kind),
                at_ns=event.at_ns,
                session_id=event.session_id,
            )
        )
        if outcome is DeviceResult.INCIDENT or event.kind in ALERTING:
            kind = "intrusion" if outcome is DeviceResult.INCIDENT and event.kind not in ALERTING else event.kind
            detail = f"{event.kind}, for session {event.session_id or 'none'}: {outcome.value}"
            with self._rows.transaction() as connection:
                alert = Alert(kind, f"{boot_id} {event.seq}", detail)
                raise_alert(connection, device, alert=alert, now_ns=self._clock.now_ns())
        return outcome.value
