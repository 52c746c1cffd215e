"""One file per chip or run time: probe it, open a model on it, run it."""
