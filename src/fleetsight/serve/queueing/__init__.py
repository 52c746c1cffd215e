"""The rules of the queue, without I/O: every function is told what time it is, so the same code runs under a virtual clock."""
