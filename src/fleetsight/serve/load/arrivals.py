"""When requests are due: a Poisson process, seeded."""

import numpy as np
from numpy.typing import NDArray


def poisson_times(rate_hz: float, duration_s: float, *, seed: int) -> NDArray[np.float64]:
    """Draw the arrivals of a Poisson process.

    Args:
        rate_hz: mean arrivals a second, > 0.
        duration_s: length of the process.
        seed: of the draw.

    Returns:
        (n,) rising times in [0, duration_s), seconds. Given their number they are uniform (the conditional property of the process).
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, duration_s, rng.poisson(rate_hz * duration_s)))
