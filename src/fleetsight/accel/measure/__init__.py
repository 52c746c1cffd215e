"""Measure a model on a chip, and say what its answers cost."""
