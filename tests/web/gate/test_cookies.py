"""Writes that ride on a cookie come from our own pages or are refused."""

import pytest

from fleetsight.web.gate.cookies import same_site

HOST = "shop.example:8340"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"}, False),
        ({"origin": f"http://{HOST}"}, True),
        ({"origin": "http://shop.example"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": f"http://evil.example/{HOST}"}, False),
        ({"origin": f"http://{HOST}@evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
def test_a_write_must_come_from_this_origin(headers: dict[str, str], allowed: bool) -> None:
    assert same_site("POST", headers, host=HOST) is allowed


def test_reads_may_come_from_anywhere() -> None:
    assert same_site("GET", {"sec-fetch-site": "cross-site"}, host=HOST)
