"""Products that exist nowhere: as many as wanted, each decided by a seed, with look-alikes among them.

A catalogue is dealt as families. A family of one is a single; a larger one is a look-alike group: the same pack in other flavours (accent colour, word and
pictogram differ) or in another size (the same print on a pack 0.7 to 0.8 times as high).
"""

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fleetsight.sim.faces import (
    LAYOUTS,
    PX_PER_MM,
    Flavour,
    Style,
    Texture,
    draw_front,
    draw_lid,
    draw_side,
    legible_on,
)
from fleetsight.sim.motifs import PATTERNS, Colour, tinted
from fleetsight.vision.image import Image

BOX, CAN, BOTTLE, POUCH = "box", "can", "bottle", "pouch"
GROUP_SIZES = (2, 3, 4)
SHARE_IN_GROUPS = 0.5  # of a catalogue's SKUs; issue 2 asks for six groups or more among forty or more
SHARE_BY_SIZE = 0.3  # of the groups; the others differ in flavour

FLAVOURS: tuple[tuple[str, float, float, float, str], ...] = (  # word, hue, saturation, value, pictogram
    ("LEMON", 0.15, 0.9, 0.97, "lemon"), ("ORANGE", 0.075, 0.95, 0.98, "citrus"), ("LIME", 0.25, 0.8, 0.8, "citrus"),
    ("BERRY", 0.78, 0.65, 0.55, "berries"), ("CHERRY", 0.97, 0.9, 0.75, "cherries"), ("APPLE", 0.3, 0.75, 0.65, "apple"),
    ("MINT", 0.44, 0.6, 0.75, "leaf"), ("PEACH", 0.05, 0.5, 0.98, "apple"), ("BLUEBERRY", 0.63, 0.75, 0.65, "berries"),
    ("COCOA", 0.06, 0.7, 0.36, "squares"), ("VANILLA", 0.13, 0.32, 0.97, "star"), ("HAZELNUT", 0.09, 0.6, 0.6, "nut"),
    ("CHILLI", 0.0, 0.95, 0.85, "chilli"), ("PAPRIKA", 0.03, 0.9, 0.9, "flame"), ("SALTED", 0.56, 0.55, 0.9, "drop"),
    ("MELON", 0.93, 0.5, 0.95, "melon"), ("ZERO", 0.0, 0.0, 0.12, "bolt"), ("CLASSIC", 0.0, 0.85, 0.8, "heart"),
    ("LIGHT", 0.53, 0.35, 0.97, "drop"), ("GRAIN", 0.11, 0.6, 0.8, "wheat"),
)  # fmt: skip
SYLLABLES = "ba be bo bra ca ce co da do el fi fre ga go hu ja ka ki la le lo lu ma mi mo na ne no nu o pa pi po ra re ri ro sa se so ta ti to va ve vi vo za zu"


@dataclass(frozen=True)
class Design:
    """One SKU as it looks.

    Attributes:
        sku: unique in its catalogue.
        name: for people.
        family: id of the look-alike group, shared by its members.
        shape: "box", "can", "bottle" or "pouch".
        size_mm: width, height, depth.
        price_minor: in cents.
        textures: by face: a box has front, back, left, right, top; a can or bottle has wrap (once around, front in its middle) and top;
            a pouch has front and back.
        profile_mm: outline of a can or bottle as (height, radius) from the bottom up; empty for others.
        gloss: 0 dull to 1 wet.
    """

    sku: str
    name: str
    family: str
    shape: str
    size_mm: tuple[float, float, float]
    price_minor: int
    textures: Mapping[str, Texture] = field(repr=False, compare=False)
    profile_mm: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    gloss: float = 0.0


@dataclass(frozen=True)
class _Form:
    """Shape and proportions that a family shares."""

    shape: str
    size_mm: tuple[float, float, float]
    gloss: float
    metal: Colour  # lid of a can, cap of a bottle
    glass: Colour  # shoulder of a bottle, what its content looks like
    label: tuple[float, float]  # of a bottle: from, to, as shares of the height from the top
    shoulder: float  # of a bottle: where it begins, share of the height from the bottom
    cap_tells: bool  # cap of a bottle in the flavour's colour, broad rim of a can


def make_designs(seed: int, *, count: int = 48) -> tuple[Design, ...]:
    """Deal a catalogue.

    Args:
        seed: decides everything, >= 0.
        count: number of SKUs, >= 1.

    Returns:
        Designs, the members of a look-alike group next to each other. About half of them are in groups of two to four.
    """
    rng = np.random.default_rng([seed, 77])
    sizes = _family_sizes(rng, count)
    taken: set[str] = set()
    designs: list[Design] = []
    for index, size in enumerate(sizes):
        brand = _brand_word(rng, taken)
        by_size = size > 1 and (index % 3 == 2 if index < 6 else rng.random() < SHARE_BY_SIZE)
        style, form = _style(rng, brand), _form(rng)
        designs += _family(rng, (style, form), members=2 if by_size else size, by_size=by_size)
        if by_size:  # a pack comes in two sizes; what the group would still hold, comes as singles
            designs += [_single(rng, taken) for _ in range(size - 2)]
    return tuple(designs)


def _family_sizes(rng: np.random.Generator, count: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) + GROUP_SIZES[-1] <= count and (sum(sizes) < SHARE_IN_GROUPS * count or len(sizes) < 6):
        sizes.append(int(rng.choice(GROUP_SIZES)))
    return sizes + [1] * (count - sum(sizes))


def _single(rng: np.random.Generator, taken: set[str]) -> Design:
    return _family(rng, (_style(rng, _brand_word(rng, taken)), _form(rng)), members=1, by_size=False)[0]


def _brand_word(rng: np.random.Generator, taken: set[str]) -> str:
    syllables = SYLLABLES.split()
    for _ in range(1000):
        word = "".join(rng.choice(syllables, int(rng.integers(2, 4)))).capitalize()
        if 4 <= len(word) <= 8 and word not in taken:
            taken.add(word)
            return word.upper() if rng.random() < 0.4 else word
    message = f"no brand word left after {len(taken)}"
    raise AssertionError(message)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * v) for v in colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0)))
    return red, green, blue


def _style(rng: np.random.Generator, brand: str) -> Style:
    hue, mood = float(rng.random()), rng.choice(["vivid", "vivid", "dark", "pale", "kraft", "white"])
    if mood == "vivid":
        ground = _colour(hue, rng.uniform(0.65, 1.0), rng.uniform(0.5, 0.95))
    elif mood == "dark":
        ground = _colour(hue, rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.32))
    elif mood == "pale":
        ground = _colour(hue, rng.uniform(0.12, 0.35), rng.uniform(0.88, 1.0))
    elif mood == "kraft":
        ground = _colour(rng.uniform(0.07, 0.11), rng.uniform(0.3, 0.5), rng.uniform(0.6, 0.8))
    else:
        ground = _colour(hue, rng.uniform(0.0, 0.06), rng.uniform(0.92, 1.0))
    apart = float(rng.choice([0.04, 0.12, 0.33, 0.5, 0.62]))
    second = (
        _colour(hue + apart, rng.uniform(0.4, 1.0), rng.uniform(0.45, 1.0))
        if rng.random() < 0.6
        else tinted(ground, float(rng.choice([-0.35, 0.4])))
    )
    return Style(
        brand=brand,
        layout=str(rng.choice(list(LAYOUTS))),
        pattern=str(rng.choice(list(PATTERNS))),
        ground=ground,
        second=second,
        ink=legible_on(ground) if rng.random() < 0.7 else _strong_ink(rng, ground),
        font=int(rng.choice([0, 1, 2, 3, 4, 6, 7])),
        stretch=float(rng.uniform(0.65, 1.5)),
        slant=float(rng.choice([0.0, 0.0, 0.25, -0.15])),
        outlined=bool(rng.random() < 0.3),
        seed=int(rng.integers(2**31)),
    )


def _strong_ink(rng: np.random.Generator, ground: Colour) -> Colour:
    hue = float(rng.choice([0.0, 0.13, 0.33, 0.6, 0.75]))
    return _colour(hue, 0.85, 0.35) if legible_on(ground)[0] < 128 else _colour(hue, 0.45, 1.0)


def _form(rng: np.random.Generator) -> _Form:
    shape = str(rng.choice([BOX, CAN, BOTTLE, POUCH], p=[0.34, 0.22, 0.24, 0.2]))
    if shape == CAN:
        wide = float(rng.choice([53.0, 58.0, 66.0, 66.0]))
        size = (wide, float(rng.choice([115.0, 135.0, 157.0, 168.0])), wide)
    elif shape == BOTTLE:
        wide = float(rng.uniform(60, 75))
        size = (wide, float(rng.uniform(180, 240)), wide)
    elif shape == POUCH:
        size = (float(rng.uniform(90, 130)), float(rng.uniform(120, 180)), float(rng.uniform(30, 50)))
    else:
        kind = rng.choice(["carton", "yoghurt", "sandwich", "bar"])
        size = {
            "carton": (rng.uniform(58, 72), rng.uniform(165, 205), rng.uniform(58, 72)),
            "yoghurt": (rng.uniform(75, 95), rng.uniform(80, 110), rng.uniform(70, 90)),
            "sandwich": (rng.uniform(115, 135), rng.uniform(95, 125), rng.uniform(55, 75)),
            "bar": (rng.uniform(80, 120), rng.uniform(120, 160), rng.uniform(35, 55)),
        }[str(kind)]
    width, height, depth = (round(float(v), 1) for v in size)
    glass = _colour(float(rng.random()), rng.uniform(0.05, 0.9), rng.uniform(0.15, 0.95))
    metal = _colour(float(rng.random()), float(rng.choice([0.0, 0.0, 0.8])), rng.uniform(0.55, 0.95))
    start = float(rng.uniform(0.28, 0.45))
    label = (start, float(rng.uniform(0.82, 0.97))) if rng.random() < 0.75 else (0.14, 0.99)
    gloss = {
        BOX: rng.uniform(0, 0.25),
        CAN: rng.uniform(0.4, 1),
        BOTTLE: rng.uniform(0.3, 1),
        POUCH: rng.uniform(0.2, 0.9),
    }[shape]
    return _Form(
        shape,
        (width, height, depth),
        float(gloss),
        metal,
        glass,
        label,
        float(rng.uniform(0.55, 0.72)),
        bool(rng.random() < 0.65),
    )


def _family(rng: np.random.Generator, look: tuple[Style, _Form], *, members: int, by_size: bool) -> list[Design]:
    style, form = look
    flavours = _distinct_flavours(rng, style.ground, 1 if by_size else members)
    ratio, price = float(rng.uniform(0.7, 0.8)), int(rng.integers(99, 480))
    family = style.brand.lower()
    designs = []
    for index in range(members):
        flavour = flavours[0 if by_size else index]
        small = by_size and index == 1
        width, height, depth = form.size_mm
        size = (width, round(height * ratio, 1), depth) if small else form.size_mm
        volume = round(size[0] * size[1] * size[2] / 2000) * (1 if form.shape == POUCH else 2)
        amount = f"{volume // 10 * 10} {'ml' if form.shape in {CAN, BOTTLE} else 'g'}"
        sku = f"{family}-{flavour.word.lower()}" + (("-small" if small else "-large") if by_size else "")
        textures = _textures(style, flavour, form, size)
        name = f"{style.brand.title()} {flavour.word.title()} {amount}"
        cost = round(price * ratio) if small else price + 10 * index * (not by_size)
        designs.append(
            Design(sku, name, family, form.shape, size, max(cost, 99), textures, _profile(form, size), form.gloss)
        )
    return designs


def _distinct_flavours(rng: np.random.Generator, ground: Colour, count: int) -> list[Flavour]:
    """Flavours whose colours differ from each other and from the pack by more than a camera's white balance drifts."""
    chosen: list[Flavour] = []
    shuffled = [
        Flavour(word, _colour(*hsv), pictogram)
        for word, *hsv, pictogram in (FLAVOURS[k] for k in rng.permutation(len(FLAVOURS)))
    ]
    for apart in (100, 70, 40, 0):
        for flavour in shuffled:
            others = [ground, *(known.accent for known in chosen)]
            if (
                len(chosen) < count
                and flavour not in chosen
                and all(_distance(flavour.accent, other) > apart for other in others)
            ):
                chosen.append(flavour)
    return chosen


def _distance(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one, other)))


def _profile(form: _Form, size_mm: tuple[float, float, float]) -> tuple[tuple[float, float], ...]:
    radius, height = size_mm[0] / 2, size_mm[1]
    if form.shape == CAN:
        return (
            (0, 0.8 * radius),
            (4, radius),
            (height - 12, radius),
            (height - 3, 0.83 * radius),
            (height, 0.83 * radius),
        )
    if form.shape == BOTTLE:
        shoulder, neck = form.shoulder * height, max(13.0, 0.42 * radius)
        middle = (shoulder + 0.6 * (0.86 * height - shoulder), 0.45 * radius + 0.55 * neck)
        body = ((0, 0.92 * radius), (5, radius), (shoulder, radius), middle, (0.87 * height, neck))
        return (*body, (0.875 * height, 1.12 * neck), (height, 1.12 * neck))
    return ()


def _px(size_mm: float) -> int:
    return max(4, round(size_mm * PX_PER_MM))


def _textures(style: Style, flavour: Flavour, form: _Form, size_mm: tuple[float, float, float]) -> dict[str, Texture]:
    width, height, depth = (_px(v) for v in size_mm)
    if form.shape in {CAN, BOTTLE}:
        wrap = _wrap(style, flavour, form, (round(np.pi * width), height))
        cap = flavour.accent if form.cap_tells and form.shape == BOTTLE else form.metal
        top = np.full((width, width, 3), cap, np.uint8)
        top[width // 3 : 2 * width // 3, 2 * width // 5 : 3 * width // 5] = tinted(cap, -0.25)
        return {"wrap": Texture(wrap), "top": Texture(top)}
    front = draw_front(style, flavour, width_px=width, height_px=height)
    if form.shape == POUCH:
        back = draw_side(style, flavour, width_px=width, height_px=height)
        return {"front": Texture(_crimped(front)), "back": Texture(_crimped(back))}
    side = Texture(draw_side(style, flavour, width_px=depth, height_px=height))
    lid = draw_lid(style, flavour, width_px=width, height_px=depth)
    return {"front": Texture(front), "back": Texture(front), "left": side, "right": side, "top": Texture(lid)}


def _wrap(style: Style, flavour: Flavour, form: _Form, size_px: tuple[int, int]) -> Image:
    """The print once around, its front in the middle and again at the seam, so that each side shows something known."""
    around, height = size_px
    top, bottom = (0.0, 1.0) if form.shape == CAN else form.label
    rows = slice(round(top * height), round(bottom * height))
    label_height, half = rows.stop - rows.start, around // 2
    face = draw_front(style, flavour, width_px=round(half * 0.72), height_px=label_height)
    facts = draw_side(style, flavour, width_px=half - face.shape[1], height_px=label_height)
    ring = np.concatenate([face, facts, face, facts], axis=1)[:, :around]
    wrap: Image = np.empty((height, ring.shape[1], 3), np.uint8)
    wrap[:] = form.metal if form.shape == CAN else form.glass
    wrap[rows] = np.roll(ring, ring.shape[1] // 2 - round(face.shape[1] / 2), axis=1)
    edge = max(2, _px(5))
    if form.shape == CAN:
        wrap[edge : (3 if form.cap_tells else 2) * edge] = flavour.accent  # tells the sort from every side
        wrap[:edge] = form.metal
        wrap[-edge // 2 :] = tinted(form.metal, -0.2)
    else:
        cap = flavour.accent if form.cap_tells else form.metal
        rows = slice(0, round(0.125 * height))
        wrap[rows] = cap
        wrap[rows, ::4] = tinted(cap, -0.25)
        wrap[round(top * height) : round(top * height) + edge] = flavour.accent
    return wrap


def _crimped(print_: Image) -> Image:
    """Seal a pouch: ribbed, darker strips along the upper and lower edge, faint creases beside them."""
    image = print_.astype(np.float32)
    height, width = image.shape[:2]
    seal = max(3, round(0.05 * height))
    ribs = np.where(np.arange(width) % 6 < 3, 0.82, 1.02).astype(np.float32)[None, :, None]
    image[:seal] *= ribs
    image[-seal:] *= ribs
    fade = np.exp(-np.minimum(np.arange(height), np.arange(height)[::-1]) / (0.12 * height)).astype(np.float32)
    creases = np.sin(np.arange(width) / width * 37.0).astype(np.float32) * 0.16
    image *= 1 + fade[:, None, None] * creases[None, :, None]
    return np.clip(image, 0, 255).astype(np.uint8)
