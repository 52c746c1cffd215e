from dataclasses import replace
from xml.etree import ElementTree as ET

from fleetsight.serve.load.chart import grid_plot, heat_map, latency_plot
from fleetsight.serve.load.grid import Cell
from tests.serve.load.test_knee import EMPTY

POINT = replace(EMPTY, offered_hz=100.0, good_hz=90.0, p50_ms=10.0, p99_ms=25.0)
CELLS = [Cell(server, client, replace(POINT, p99_ms=server + client + 0.5)) for server in (1, 2) for client in (1, 8)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_heat_map_holds_rate_and_latency_of_each_cell_as_numbers() -> None:
    found = texts(heat_map([*CELLS, Cell(4, 1, EMPTY)]))
    assert found.count("90 Hz") == 4
    assert {"2 ms", "10 ms", "no answer", "0 Hz"} <= set(found)


def test_latency_curves_are_labelled_server_client() -> None:
    assert {"1-1", "1-8", "2-1", "2-8", "server 1", "server 2"} <= set(texts(grid_plot(CELLS)))


def test_the_latency_plot_shows_both_quantiles_and_the_deadline() -> None:
    found = texts(latency_plot([POINT, replace(POINT, offered_hz=200.0, p99_ms=None)], slo_ms=50.0))
    assert {"p50", "p99", "deadline 50 ms", "10", "25"} <= set(found)


def test_a_curve_without_answers_is_an_empty_picture() -> None:
    assert "p99" in texts(latency_plot([EMPTY], slo_ms=50.0))
