"""Shoppers: what arms look like, how they move, and the scenarios they act out."""
