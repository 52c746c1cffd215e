"""The revisions of the database's shape, oldest first by number. `tools/make_migration.py` writes the next one."""
