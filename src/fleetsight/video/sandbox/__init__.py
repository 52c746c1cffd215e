"""The decoder process: its parent's handle, what both say to each other, its walls, and the program inside."""
