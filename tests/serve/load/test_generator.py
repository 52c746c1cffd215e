import math

import pytest

from fleetsight.serve.load.generator import batch_of


def test_batch_and_service_time_are_read_from_the_answer_of_the_data_plane() -> None:
    answer = b'{"model":"pets","times_ms":{"queue":0.1,"service":12.5,"total":13.0},"batch":4,"result":[]}'
    assert batch_of(answer) == (4, 12.5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"times_ms":3,"batch":1}',
        b'{"times_ms":{"service":1.0}}',
        b'["times_ms"]',
        b'{"times_ms',
        b'\xff"times_ms"',
    ],
)
def test_an_answer_that_says_something_else_or_nothing_is_no_batch(answer: bytes) -> None:
    batch, service_ms = batch_of(answer)
    assert batch == 0
    assert math.isnan(service_ms)
