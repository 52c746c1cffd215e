"""Claim N11: memory of the service without a model, idle and after a thousand frames."""

import argparse

from stage import figure, payloads, publish, staged

from fleetsight.serve.load.processes import Generators
from fleetsight.serve.tier.plan import Variant


def main() -> None:
    """Start it, look, load it, look again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    seconds = 1.0 if parser.parse_args().quick else 10.0
    with staged([Variant("m", "none", "sleep:1")]) as stage, Generators(payloads()) as generators:
        idle_mb = stage.rss_mb()
        generators.closed_loop(stage.target(), 8, duration_s=seconds)
        used_mb = stage.rss_mb()
    figures = {"N11": figure(idle_mb, "MB", goal="<= 60"), "N11_used": figure(used_mb, "MB", goal="<= 60")}
    publish("memory", figures, detail={"command": "python bench/serve/measure_memory.py"})


if __name__ == "__main__":
    main()
