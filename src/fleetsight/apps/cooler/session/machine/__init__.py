"""The session state machine as pure functions: no I/O, no clock of its own, no randomness."""
