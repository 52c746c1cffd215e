"""What a decoding run was worth: the fraction that was decoded, and every reason to trust it less."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from fleetsight.video.container import Structure
from fleetsight.video.timeline import NS, Timeline

GAP_NS = 2 * NS  # nobody reaches into a cooler and back in less; a longer time without a picture hides something
SOUND_SLACK_S = 0.5  # a container's length counts its sound as well, which may run on
HARMLESS = frozenset(
    {"variable_rate", "rotated", "resolution_changed"}
)  # fully handled; every other reason costs trust


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The stream as its header describes it.

    Attributes:
        width: columns of the delivered pictures, in pixels, after rotation.
        height: rows of the delivered pictures, in pixels, after rotation.
        rate_hz: declared frames per second, exact (30000/1001); None where the header has none or a senseless one.
        codec: name of the picture coding, such as "h264".
        container: "mov" (every MP4), "matroska" or "mpegts".
        declared_s: length in seconds by the header; None where it has none.
        declared_frames: number of pictures by the header; None where it has none.
        rotation_deg: by how much the pictures were turned counter-clockwise to stand upright: 0, 90, 180 or 270.
        time_base: seconds per tick of the time stamps.
    """

    width: int
    height: int
    rate_hz: Fraction | None
    codec: str
    container: str
    declared_s: float | None
    declared_frames: int | None = None
    rotation_deg: int = 0
    time_base: Fraction = Fraction(1, NS)


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """What came out of a clip.

    Attributes:
        frames: pictures delivered.
        decoded_fraction: 0..1, see ``summarise``.
        degraded: reasons, sorted: "truncated", "corrupt_packets", "corrupt_container", "altered", "timestamps_repaired", "gap",
            "limit_frames", "limit_duration", "limit_cpu", "limit_wall", "limit_memory", "limit_pixels", "decoder_crashed",
            "unread" (the caller stopped early), and those of HARMLESS.
    """

    frames: int
    decoded_fraction: float
    degraded: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What the parent counts while pictures arrive; ``counters`` are the child's own, sent at its end."""

    frames: int = 0
    corrupt_frames: int = 0
    stopped: str | None = None
    counters: dict[str, int] = field(default_factory=dict)


def summarise(info: ClipInfo, structure: Structure, *, timeline: Timeline, tally: Tally) -> DecodeSummary:
    """Judge a finished or interrupted run.

    The fraction is the smallest of those that can be told: pictures delivered / pictures declared (MP4 index; edit lists count),
    and time covered / time declared (MP4, MKV). Where the header declares neither (MPEG-TS, fragmented MP4, live MKV), it is
    bytes present / bytes of the outermost boxes begun: an upper bound, since what followed the cut has left no trace.

    Args:
        info: the header's claims.
        structure: the outermost boxes.
        timeline: the times that were given out.
        tally: the counts.
    Returns:
        The verdict.
    """
    fraction = _fraction(info, structure, timeline, tally)
    counters = tally.counters
    broken = counters.get("failed_packets", 0) + counters.get("corrupt_packets", 0) + counters.get("complaints", 0)
    found = {
        "truncated": structure.truncated or (fraction < 1 and tally.stopped is None and broken == 0),
        "corrupt_packets": broken + tally.corrupt_frames > 0 and tally.stopped != "limit_memory",
        "corrupt_container": structure.damaged or counters.get("broken_reads", 0) > 0,
        "altered": structure.altered,
        "timestamps_repaired": timeline.repaired > 0,
        "gap": timeline.longest_step_ns > GAP_NS,
        "variable_rate": timeline.is_variable,
        "rotated": info.rotation_deg != 0,
        "resolution_changed": counters.get("resized", 0) > 0,
    }
    reasons = {reason for reason, present in found.items() if present}
    if tally.stopped is not None:
        reasons.add(tally.stopped)
    return DecodeSummary(tally.frames, fraction, tuple(sorted(reasons)))


def parse_duration_tag(tag: str | None) -> float | None:
    """Read a Matroska DURATION tag, "HH:MM:SS.fraction", as seconds; None when it is none."""
    match = re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,12})?)", tag or "")
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _fraction(info: ClipInfo, structure: Structure, timeline: Timeline, tally: Tally) -> float:
    if not tally.frames:
        return 0.0
    shares = []
    if info.declared_frames:
        due = info.declared_frames - tally.counters.get("discarded", 0)
        shares.append(tally.frames / due if due > 0 else 1.0)
    if info.declared_s and not (
        shares and shares[0] >= 1
    ):  # every picture there: how long the last one stands is no loss
        got_s = (timeline.last_ns + timeline.period_ns) / NS
        slack_s = max(1.5 * timeline.period_ns, timeline.longest_step_ns) / NS
        shares.append(1.0 if got_s + slack_s >= info.declared_s else got_s / info.declared_s)
    if not shares and structure.missing_bytes:
        shares.append(structure.size_bytes / (structure.size_bytes + structure.missing_bytes))
    return round(min(1.0, *shares, 1.0), 4)
