"""The style sheet: contrast in both schemes by WCAG 2.2 (1.4.3: 4.5 to 1 for text), calm for those who ask for it."""

import re

import pytest

from fleetsight.web.pages.faces import STATIC

SHEET = (STATIC / "app.css").read_text(encoding="utf-8")
PAIRS = [
    *((ink, ground) for ink in ("ink", "soft") for ground in ("paper", "ground", "sunk")),
    *((tone, f"{tone}-wash") for tone in ("good", "wait", "bad", "busy", "accent")),
    *((tone, "paper") for tone in ("good", "wait", "bad", "busy", "accent")),
    ("soft", "calm-wash"),
    ("ink", "accent-wash"),
    ("on-accent", "accent"),
    ("on-accent", "accent-press"),
]


def tokens(scheme: str) -> dict[str, str]:
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
        for part in SHEET.split("@media (prefers-color-scheme: dark)")[:2]
    )
    return light if scheme == "light" else light | dark


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(scheme: str, ink: str, ground: str) -> None:
    colours = tokens(scheme)
    lighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_motion_stops_for_those_who_ask() -> None:
    assert "prefers-reduced-motion: reduce" in SHEET


def test_nothing_is_fetched_from_elsewhere() -> None:
    files = [path for path in STATIC.rglob("*") if path.suffix in (".css", ".js") and path.parent.name != "vendor"]
    assert files
    assert [
        path.name for path in files if re.search(r"https?://|@import|//cdn", path.read_text(encoding="utf-8"))
    ] == []
