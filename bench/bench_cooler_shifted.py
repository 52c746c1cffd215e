"""Claim: the same figures where cameras, light, products and encoding lie beyond the ranges of training."""

from suite_table import measure

from fleetsight.apps.cooler.evaluate.score import Suite

if __name__ == "__main__":
    measure(Suite("shifted", seed=20261130, sessions=108), "cooler_shifted")
