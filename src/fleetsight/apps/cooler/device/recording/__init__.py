"""From camera pictures to MPEG-TS segments: trimmed to the open door, scaled, faces blurred, safe against a power cut."""
