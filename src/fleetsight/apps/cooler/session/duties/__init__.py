"""What worker processes do for sessions: look at video, settle, write receipts, sweep, delete."""
