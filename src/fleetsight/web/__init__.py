"""Pages and JSON for people and machines: one view function, two faces."""
