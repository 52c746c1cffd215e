"""Ids tell the time at which they were made, and nobody else has them."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from fleetsight.store.ids import new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    text = new_id()
    assert (len(text), text) == (36, str(uuid.UUID(text)))
    assert text[14] == "7"


def test_ids_sort_by_the_time_at_which_they_were_made() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert ids == sorted(ids)


def test_an_id_carries_a_millisecond_that_is_not_before_it_was_made() -> None:
    before_ms = time.time_ns() // 1_000_000
    assert before_ms <= uuid.UUID(new_id()).int >> 80


def test_no_two_threads_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: new_id(), range(8_000)))
    assert len(set(ids)) == len(ids)
