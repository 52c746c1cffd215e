"""Where a model comes from: each module reads one kind of file or folder into a `Source`."""
