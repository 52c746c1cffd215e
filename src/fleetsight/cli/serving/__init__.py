"""Commands about the inference service: load it, plan it."""
