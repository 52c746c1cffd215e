"""Which variant the next request prefers: shares in per cent, spread as evenly as shares allow."""

from collections.abc import Mapping

from fleetsight.errors import Error

WHOLE = 100


class SplitError(Error):
    """Shares that do not make a whole, or of variants that do not exist."""

    code = "serve_split"


class Split:
    """Deals out requests.

    Args:
        shares: per cent by variant; they add up to 100.

    Raises:
        SplitError: they do not.
    """

    def __init__(self, shares: Mapping[str, int]) -> None:
        if any(share < 0 for share in shares.values()) or sum(shares.values()) != WHOLE:
            said = ", ".join(f"{name}:{share}" for name, share in shares.items()) or "nothing"
            raise SplitError(f"shares must be >= 0 and add up to 100, got {said}", hint="for example cpu:90 gpu:10")
        self.shares = dict(shares)
        self._credit = dict.fromkeys(shares, 0)

    def deal(self) -> str:
        """Name the variant of the next request.

        Of any 100 requests in a row each variant gets its share exactly (smooth weighted round robin, as nginx does it).

        Returns:
            a variant.
        """
        for name, share in self.shares.items():
            self._credit[name] += share
        best = max(self._credit, key=lambda name: self._credit[name])
        self._credit[best] -= WHOLE
        return best
