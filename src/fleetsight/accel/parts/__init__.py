"""Models of several parts: each part compiled on its own and dropped back into the original pipeline."""
