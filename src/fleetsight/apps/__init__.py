"""The products built on the stages; each folder can be deleted alone."""
