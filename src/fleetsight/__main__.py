"""``python -m fleetsight`` is the same as ``fleetsight``."""

from fleetsight.cli.main import app

if __name__ == "__main__":
    app()
