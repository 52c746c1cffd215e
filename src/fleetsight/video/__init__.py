"""Images over time: decode in a sandbox, encode, watch the picture's health, track."""
