"""The generators against the data plane itself: they speak the same wire and mean the same by a batch."""

from fleetsight.serve.load.line import Payload, Target
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import Outcome
from fleetsight.serve.tier.plan import Variant
from tests.serve.http.serving import running


def test_batches_service_times_and_refusals_of_the_data_plane_are_understood() -> None:
    variant = Variant("m", "cpu", "sleep:20+1", batch_max=4)
    with running(variant) as service, Generators([Payload(b"\xff\xd8\xff\xd9")]) as generators:
        patient = Target.at(service.url, "/v1/models/m/infer", headers=("X-Deadline-Ms: 5000",))
        hurried = Target.at(service.url, "/v1/models/m/infer", headers=("X-Deadline-Ms: 60",))
        closed = generators.closed_loop(patient, 6, duration_s=0.5)
        flooded = generators.open_loop(hurried, 600.0, duration_s=0.5, seed=1)
    assert (closed.outcome == Outcome.ANSWERED).all()
    assert closed.batch.min() >= 1
    assert closed.batch.max() > 1
    assert (closed.service_ms >= 19.0).all()
    assert Outcome.REJECTED in flooded.outcome
