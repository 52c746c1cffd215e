"""Durable jobs on SQLite and on Postgres."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from fleetsight.store.jobs import Jobs, JobsError
from fleetsight.store.rows import RowsError
from tests.contracts.jobs_contract import JobsContract, Open, answer, ended


class TestSqlite(JobsContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/jobs.db"

    @pytest.fixture
    def rows_address(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/rows.db"

    def test_lie_where_the_address_says(self, url: str, open_jobs: Open) -> None:
        open_jobs().enqueue("answer", "job-1", arguments={"number": 1})
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("SELECT job_id FROM fleetsight_jobs").fetchall() == [("job-1",)]
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_nothing_is_pickled(self, url: str, open_jobs: Open) -> None:
        jobs = open_jobs("worker-0.1", answer=answer)
        jobs.enqueue("answer", "job-1", arguments={"number": 1})
        ended(jobs, "job-1")
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            kinds = connection.execute(
                "SELECT serialization FROM workflow_status UNION SELECT serialization FROM operation_outputs"
            ).fetchall()
        assert kinds == [("portable_json",)]


class TestPostgres(JobsContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    @pytest.fixture
    def rows_address(self, postgres_url: str) -> str:
        return postgres_url  # one database may hold both

    def test_lie_where_the_address_says(self, url: str, open_jobs: Open) -> None:
        open_jobs().enqueue("answer", "job-1", arguments={"number": 1})
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT job_id FROM fleetsight_jobs").fetchall() == [("job-1",)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


def test_one_of_a_process_executes_and_the_next_may_when_it_is_closed(url: str) -> None:
    with closing(Jobs(url, executor_id="worker-0.1")) as first, closing(Jobs(url, executor_id="worker-0.2")) as second:
        for jobs in (first, second):
            jobs.define("answer", answer)
        first.launch()
        with pytest.raises(JobsError, match="executes jobs already"):
            second.launch()
        first.close()
        second.launch()
        second.enqueue("answer", "job-1", arguments={"number": 1})
        assert ended(second, "job-1").executor_id == "worker-0.2"


def test_an_executor_needs_an_id(url: str) -> None:
    with closing(Jobs(url)) as jobs, pytest.raises(JobsError, match="without an id"):
        jobs.launch()


def test_a_name_is_defined_once_and_before_the_launch(url: str) -> None:
    with closing(Jobs(url, executor_id="worker-0.1")) as jobs:
        jobs.define("answer", answer)
        with pytest.raises(JobsError, match="cannot be defined"):
            jobs.define("answer", answer)
        jobs.launch()
        with pytest.raises(JobsError, match="cannot be defined"):
            jobs.define("other", answer)


@pytest.mark.parametrize("attempts", [0, 11])
def test_a_step_without_a_sensible_limit_is_refused(url: str, attempts: int) -> None:
    with closing(Jobs(url, executor_id="worker-0.1")) as jobs:
        jobs.define("job", lambda steps, _: {"x": steps.run("x", lambda: 1, attempts=attempts)})
        jobs.launch()
        jobs.enqueue("job", "job-1", arguments={})
        assert f"with {attempts} attempts" in ended(jobs, "job-1").error


def test_an_address_that_is_no_database_is_refused() -> None:
    with pytest.raises(RowsError, match="no database address"):
        Jobs("file:///tmp/jobs")


def test_closing_twice_is_harmless(url: str) -> None:
    jobs = Jobs(url)
    jobs.close()
    jobs.close()


def test_the_engine_talks_through_our_logging(url: str) -> None:
    with closing(Jobs(url, executor_id="worker-0.1")) as jobs:
        jobs.define("answer", answer)
        jobs.launch()
        logger = logging.getLogger("dbos")
        assert logger.propagate
        assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
        assert logger.level == logging.WARNING
