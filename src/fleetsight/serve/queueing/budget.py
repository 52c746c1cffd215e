"""How often something may be tried again: a share of what was asked, so that failover never becomes overload."""

SHARE = 0.1
"""Retries per request (Google SRE book, chapter 21: 10 % of requests of a client)."""
SAVED_MAX = 100.0
"""Most retries that quiet times may save: all that two backends hold when they die together."""


class RetryBudget:
    """Retries that may still be made.

    Args:
        saved: at the start.
    """

    def __init__(self, saved: float = SAVED_MAX) -> None:
        self.saved = min(saved, SAVED_MAX)

    def asked(self) -> None:
        """Note a first try."""
        self.saved = min(self.saved + SHARE, SAVED_MAX)

    def spend(self) -> bool:
        """Take one retry.

        Returns:
            whether there was one.
        """
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        return True
