"""A model as a portable folder, and the chips that run it."""
