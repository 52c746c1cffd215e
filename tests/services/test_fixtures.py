"""The services that other tests stand on are real ones."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import obstore
import psycopg
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config


def test_postgres_is_empty_and_keeps_what_it_is_told(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
        connection.execute("create table kept (number int)")
        connection.execute("insert into kept values (7)")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def test_the_s3_api_keeps_an_object(s3_url: str, s3_options: Mapping[str, str]) -> None:
    config = cast("S3Config", dict(s3_options))
    store = S3Store.from_url(s3_url, config=config, client_options={"allow_http": True})
    obstore.put(store, "one", b"bytes")
    assert bytes(obstore.get(store, "one").bytes()) == b"bytes"


def test_chromium_says_its_version(chromium_path: Path) -> None:
    done = subprocess.run([chromium_path, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert "Chrom" in done.stdout


def test_prometheus_comes_with_its_tool(prometheus_binary: Path) -> None:
    assert prometheus_binary.with_name("promtool").is_file()
