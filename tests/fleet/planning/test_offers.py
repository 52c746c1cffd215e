from dataclasses import replace

import pytest

from fleetsight.accel.measure.prices import PriceError, Prices
from fleetsight.fleet.planning.offers import PlanError, make_offers
from fleetsight.serve.load.virtual import VirtualServer, predicted_knee_hz
from tests.fleet.planning.offered import offer
from tests.serve.load.test_virtual import STEADY

PRICES = Prices.load()
KNEE_HZ = predicted_knee_hz(VirtualServer(STEADY))
MEASURED = replace(STEADY, knee_hz=0.95 * KNEE_HZ)


def test_an_offer_has_the_measured_knee_and_states_the_error_of_its_prediction() -> None:
    (made,), refused = make_offers([MEASURED], PRICES, slo_ms=MEASURED.slo_ms)
    assert made.knee_hz == pytest.approx(MEASURED.knee_hz)
    assert made.predicted_hz == KNEE_HZ
    assert made.prediction_error == pytest.approx(0.05 / 0.95)
    assert (made.usd_per_hour, made.purchase) == (PRICES.on_demand("c7i.xlarge"), "on_demand")
    assert refused == ()


def test_a_tighter_deadline_carries_less_and_one_shorter_than_a_frame_nothing() -> None:
    (tight,), _ = make_offers([MEASURED], PRICES, slo_ms=30.0)
    assert 0 < tight.knee_hz < MEASURED.knee_hz
    offers, refused = make_offers([MEASURED], PRICES, slo_ms=5.0)
    assert offers == ()
    assert refused == ("c7i.xlarge (cpu) carries nothing within 5 ms",)


def test_spot_takes_the_highest_price_seen_and_what_has_no_such_price_is_offered_on_demand() -> None:
    neuron = replace(MEASURED, instance="inf2.xlarge")
    offers, _ = make_offers([neuron, MEASURED], PRICES, slo_ms=100.0, purchase="spot")
    spot = PRICES.find("inf2.xlarge").spot_usd_per_hour
    assert spot is not None
    assert [(one.purchase, one.usd_per_hour) for one in offers] == [("spot", spot[1]), ("on_demand", 0.1785)]
    (reserved,), _ = make_offers([neuron], PRICES, slo_ms=100.0, purchase="reserved")
    assert reserved.usd_per_hour == PRICES.reserved("inf2.xlarge")


def test_gpus_are_known_by_their_family() -> None:
    names = ("g5.xlarge", "p3.2xlarge", "c7i.xlarge", "inf2.xlarge")
    assert [offer(name).is_gpu for name in names] == [True, True, False, False]


def test_profiles_that_cannot_be_planned_together_are_refused() -> None:
    with pytest.raises(PlanError, match="at least one profile"):
        make_offers([], PRICES, slo_ms=100.0)
    with pytest.raises(PlanError, match="different models: cats, pets"):
        make_offers([MEASURED, replace(MEASURED, model="cats")], PRICES, slo_ms=100.0)
    with pytest.raises(PriceError):
        make_offers([replace(MEASURED, instance="c7i.xlarg")], PRICES, slo_ms=100.0)
