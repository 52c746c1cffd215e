"""Claim: baskets, events, automation and money of the standard suite, on seeds and products that training never saw."""

from suite_table import measure

from fleetsight.apps.cooler.evaluate.score import Suite

if __name__ == "__main__":
    measure(Suite("standard", seed=20261130, sessions=216), "cooler_standard")
