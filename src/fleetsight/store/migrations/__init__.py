"""Alembic's folder: `env.py` runs revisions on a connection that it is given; `versions` holds them, each written once."""
