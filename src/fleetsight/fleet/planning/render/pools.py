"""What is rendered: the pools of a plan, each one variant on one instance type."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetsight.accel.measure.prices import Prices
from fleetsight.fleet.planning.mix import Mix
from fleetsight.fleet.planning.offers import PlanError, Purchase
from fleetsight.serve.profile import Profile

TARGET_SHARE = 0.7
"""A pool grows when a pod takes more than this share of its knee (serving reference, section 3)."""

GROWTH = 2
"""A pool may grow to so many times its planned size before a person looks."""

_GPUS = {"p4d.24xlarge": 8, "p5.48xlarge": 8}
_NEURON = {  # Neuron cores and devices of an instance (Amazon EC2 instance types, inf1, inf2 and trn1)
    "inf1.xlarge": (4, 1),
    "inf1.2xlarge": (4, 1),
    "inf1.6xlarge": (16, 4),
    "inf1.24xlarge": (64, 16),
    "inf2.xlarge": (2, 1),
    "inf2.8xlarge": (2, 1),
    "inf2.24xlarge": (12, 6),
    "inf2.48xlarge": (24, 12),
    "trn1.2xlarge": (2, 1),
    "trn1.32xlarge": (32, 16),
}


@dataclass(frozen=True)
class Pool:
    """One variant on one instance type.

    Attributes:
        profile: of the variant; it travels with the pods and drives their batching and admission.
        purchase: how it is paid for.
        count: planned instances.
        target_hz: frames a second of one instance at which the pool grows.
        vcpus: processors of an instance.
        gpus: GPUs of an instance.
        neuron_cores: Neuron cores of an instance.
        neuron_devices: Neuron devices of an instance.
        usd_per_hour: price of an instance.
    """

    profile: Profile
    purchase: Purchase
    count: int
    target_hz: float
    vcpus: int
    gpus: int
    neuron_cores: int
    neuron_devices: int
    usd_per_hour: float

    @property
    def name(self) -> str:
        """Name of the pool's objects."""
        return object_name(f"{self.profile.model}-{self.profile.variant}")

    @property
    def count_max(self) -> int:
        """Most instances the pool may grow to by itself."""
        return self.count * GROWTH


def object_name(text: str) -> str:
    """Make a name that Kubernetes takes.

    Args:
        text: any name.

    Returns:
        lower case letters, digits and dashes (RFC 1123 label), at most 53 signs.
    """
    signs = (sign if sign.isalnum() and sign.isascii() else "-" for sign in text.lower())
    return "".join(signs).strip("-")[:53].rstrip("-")


def pools_of(mix: Mix, profiles: Sequence[Profile], *, prices: Prices) -> tuple[Pool, ...]:
    """The pools of a plan.

    Args:
        mix: what is rented.
        profiles: that it was planned from.
        prices: the price file.

    Returns:
        a pool for each part.

    Raises:
        PlanError: two pools would have the same name.
    """
    by_variant = {(profile.variant, profile.instance): profile for profile in profiles}
    pools = []
    for part in mix.parts:
        offer = part.offer
        profile = by_variant[offer.variant, offer.instance]
        cores, devices = _NEURON.get(offer.instance, (0, 0))
        pools.append(
            Pool(
                profile=profile,
                purchase=offer.purchase,
                count=part.count,
                target_hz=round(TARGET_SHARE * offer.knee_hz, 3),
                vcpus=prices.find(offer.instance).vcpus,
                gpus=_GPUS.get(offer.instance, 1) if offer.is_gpu else 0,
                neuron_cores=cores,
                neuron_devices=devices,
                usd_per_hour=offer.usd_per_hour,
            )
        )
    names = [pool.name for pool in pools]
    if len(set(names)) < len(names):
        raise PlanError(f"two pools are called {', '.join(sorted(names))}", hint="give variants names of their own")
    return tuple(pools)
