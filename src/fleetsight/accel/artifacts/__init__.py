"""Compiled models: a signed folder each, kept by what they were made from."""
