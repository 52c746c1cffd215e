"""A session from a redeemed code to a receipt: a pure state machine, and the shell that runs it on rows."""
