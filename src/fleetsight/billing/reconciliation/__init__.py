"""Our books against the provider's: what differs, why, and the way out."""
