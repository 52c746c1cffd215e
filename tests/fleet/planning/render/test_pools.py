from dataclasses import replace

import pytest

from fleetsight.accel.measure.prices import Prices
from fleetsight.fleet.planning.mix import Mix, Part
from fleetsight.fleet.planning.offers import PlanError
from fleetsight.fleet.planning.render.pools import pools_of
from tests.fleet.planning.offered import offer
from tests.fleet.planning.render.pooled import pool
from tests.serve.load.test_virtual import STEADY


def test_a_pool_takes_counts_from_the_mix_and_its_target_from_the_knee() -> None:
    profiles = [replace(STEADY, variant="c7i"), replace(STEADY, variant="inf2", instance="inf2.xlarge", replicas=4)]
    mix = Mix((Part(offer(), 3), Part(offer("inf2.xlarge", 0.21, 400.0, purchase="spot"), 1)))
    cpu, neuron = pools_of(mix, profiles, prices=Prices.load())
    assert (cpu.name, cpu.count, cpu.count_max, cpu.target_hz, cpu.gpus, cpu.neuron_cores) == (
        "pets-c7i",
        3,
        6,
        70.0,
        0,
        0,
    )
    assert (neuron.purchase, neuron.profile.replicas, neuron.neuron_cores, neuron.neuron_devices) == ("spot", 4, 2, 1)
    assert cpu.vcpus == Prices.load().find("c7i.xlarge").vcpus


@pytest.mark.parametrize(
    ("variant", "name"), [("CPU_1", "pets-v2-cpu-1"), ("é", "pets-v2"), ("x" * 90, "pets-v2-" + "x" * 45)]
)
def test_names_are_labels_of_kubernetes(variant: str, name: str) -> None:
    assert pool(variant, "c7i.xlarge").name == name


def test_two_pools_of_one_name_are_refused() -> None:
    profiles = [replace(STEADY, variant="c7i"), replace(STEADY, variant="c7i", instance="c7i.2xlarge")]
    parts = (Part(offer(), 1), Part(replace(offer("c7i.2xlarge"), variant="c7i"), 1))
    with pytest.raises(PlanError, match="two pools"):
        pools_of(Mix(parts), profiles, prices=Prices.load())
