"""How often who may ask: token buckets in memory, one for each caller and limit.

One API process serves an installation, so its memory is the place to count; a restart forgives, which costs nothing. The number of
buckets is bounded: the least recently used one is forgotten, and it was full by then or its owner is one of very many.
"""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from fleetsight.clock import SECOND_NS, Clock

BUCKETS_MAX = 20_000


@dataclass(frozen=True)
class Rate:
    """One limit.

    Attributes:
        name: as a refused caller reads it.
        per_s: how fast the bucket fills, > 0.
        burst: how much it holds, > 0.
    """

    name: str
    per_s: float
    burst: float


@dataclass(frozen=True)
class Rates:
    """Every limit of the API; a request passes that of its address, of its caller and of its caller's tenant.

    Attributes:
        address: requests from one network address. A site's coolers share one.
        device: requests of one device: a heartbeat each 5 s, a poll each 25 s, and uploads in pieces.
        shopper: requests of one shopper; a phone polls twice a second.
        person: requests of one operator; a page asks for a few things at once.
        tenant: requests of a whole tenant; 1,000 devices and their shoppers.
        guesses: requests with secrets that people type or that could be guessed, claim codes and sign-in, from one address.
        sign_up: new shoppers from one address, where strangers may register.
        redeem: doors one shopper asks to open.
        upload_bytes: bytes one device uploads.
    """

    address: Rate = Rate("address", 200, 1000)
    device: Rate = Rate("device", 20, 200)
    shopper: Rate = Rate("shopper", 5, 50)
    person: Rate = Rate("person", 20, 200)
    tenant: Rate = Rate("tenant", 500, 5000)
    guesses: Rate = Rate("guesses", 0.2, 10)
    sign_up: Rate = Rate("sign_up", 1, 60)
    redeem: Rate = Rate("redeem", 0.2, 10)
    upload_bytes: Rate = Rate("upload_bytes", 16 << 20, 256 << 20)


class Limiter:
    """Counts. Safe to ask from several threads.

    Args:
        clock: fills the buckets.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, rate: Rate, who: str, *, cost: float = 1.0) -> float:
        """Take from a bucket, if it holds enough.

        Args:
            rate: which limit.
            who: whose bucket.
            cost: how much; what costs more than the bucket holds is let through when it is full.
        Returns:
            0 when it was taken; else the seconds until it could be.
        """
        cost = min(cost, rate.burst)
        now_ns = self._clock.now_ns()
        with self._lock:
            level, at_ns = self._buckets.pop((rate.name, who), (rate.burst, now_ns))
            filled = min(rate.burst, level + max(0, now_ns - at_ns) / SECOND_NS * rate.per_s)
            enough = filled >= cost
            self._buckets[rate.name, who] = (filled - cost if enough else filled, now_ns)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        return 0.0 if enough else (cost - filled) / rate.per_s

    def __len__(self) -> int:
        return len(self._buckets)


def whole_seconds(wait_s: float) -> int:
    """A waiting time as Retry-After has it.

    Args:
        wait_s: seconds.
    Returns:
        whole seconds, at least 1.
    """
    return max(1, math.ceil(wait_s))
