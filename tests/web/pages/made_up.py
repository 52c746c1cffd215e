"""Contexts that nobody lived through, for tests of templates."""

from dataclasses import replace

from fleetsight.money import Money
from fleetsight.web.pages.contexts import (
    Contest,
    Purchase,
    Purse,
    Receipt,
    ReceiptLine,
    Refund,
    ScanPage,
    ScanState,
    ShopHomePage,
    ShopSessionPage,
    Stage,
    Strip,
    TaxLine,
)
from fleetsight.web.pages.desk_contexts import (
    AlertRow,
    Alternative,
    BasketLine,
    Clip,
    ClipEvent,
    DecisionRow,
    DevicePage,
    DeviceRow,
    Difference,
    FleetPage,
    HistoryRow,
    MoneyPage,
    MoneyRow,
    OpenHold,
    OwedRow,
    ReviewPage,
    ReviewRow,
    Screen,
    SessionFacts,
    SessionPage,
    SessionRow,
    SessionsPage,
    SkuChoice,
    Verdict,
)

NOW_NS = 1_795_266_203_000_000_000
S = 1_000_000_000
MINUTE = 60 * S
SESSION = "019ab3f0-7c1e-7d44-9a31-5f20c6e8b7d1"


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def picture(sku: str) -> str:
    return f"/media/catalog/pictures/{sku}_0.png"


PURSE = Purse("Ada Lovelace", "wallet", eur(4000))
LINES = (
    ReceiptLine(
        "brava-grain",
        "Brava Grain 250 g",
        1,
        eur(289),
        eur(289),
        picture("brava-grain"),
        (Strip("/media/evidence/event_1_take.png", "take", 6.3),),
    ),
    ReceiptLine(
        "brava-light",
        "Brava Light 250 g",
        2,
        eur(249),
        eur(498),
        picture("brava-light"),
        (Strip("/media/evidence/event_0_take.png", "take", 2.3),),
    ),
)
RECEIPT = Receipt(
    "R-2026-000231",
    NOW_NS - 20 * S,
    LINES,
    eur(787),
    (TaxLine(1900, eur(126)),),
    "wallet",
    (),
    eur(787),
    eur(0),
    eur(0),
)


def scan(state: ScanState = ScanState.READY, *, signed_in: bool = False) -> ScanPage:
    return ScanPage(
        state,
        "Atrium 2",
        "Northgate Station, Hall B",
        eur(2500),
        PURSE if signed_in else None,
        token="made-up",
        left_s=42,
    )


def shopping(stage: Stage, **more: object) -> ShopSessionPage:
    page = ShopSessionPage(
        SESSION,
        stage,
        "Atrium 2",
        "Northgate Station, Hall B",
        NOW_NS - MINUTE,
        NOW_NS,
        hold=eur(2500),
        held=True,
        purse=PURSE,
    )
    if stage is Stage.RECEIPT:
        page = replace(page, receipt=RECEIPT, held=False, contestable=True)
    return replace(page, **more)  # type: ignore[arg-type]


CONTEST = Contest(NOW_NS - 8 * MINUTE, ("brava-light",), "wrong_count", "I took one of these, the other one went back.")
REFUND = Refund(NOW_NS - MINUTE, eur(249), "wrong_count")

HOME = ShopHomePage(
    PURSE,
    (
        Purchase(SESSION, "Atrium 2", "Northgate Station, Hall B", NOW_NS - 2 * MINUTE, Stage.WORKING, None),
        Purchase(SESSION[:-1] + "2", "Lobby", "Harbour Offices", NOW_NS - 26 * 60 * MINUTE, Stage.RECEIPT, eur(787)),
        Purchase(
            SESSION[:-1] + "3", "Lobby", "Harbour Offices", NOW_NS - 50 * 60 * MINUTE, Stage.NOTHING_TAKEN, eur(0)
        ),
    ),
    (eur(1000), eur(2500), eur(5000)),
    sign_up=True,
    now_ns=NOW_NS,
)


def row(number: int, state: str, **more: object) -> SessionRow:
    base = SessionRow(
        SESSION[:-2] + f"{number:02d}",
        state,
        "closed_locked",
        "authorized",
        ("Atrium 2", "Lobby", "Dock 7")[number % 3],
        ("Northgate Station, Hall B", "Harbour Offices", "Kessler Logistics")[number % 3],
        ("Ada Lovelace", "Grace Hopper", "Edsger D.", "Barbara Liskov")[number % 4],
        NOW_NS - number * 47 * S,
    )
    return replace(base, **more)  # type: ignore[arg-type]


ROWS = (
    row(0, "open", door="open"),
    row(1, "analyzing", closed_ns=NOW_NS - 20 * S),
    row(
        2,
        "settled",
        payment="captured",
        closed_ns=NOW_NS - 80 * S,
        settled_ns=NOW_NS - 71 * S,
        decision="charge",
        confidence=0.968,
        total=eur(787),
    ),
    row(
        3,
        "review",
        closed_ns=NOW_NS - 120 * S,
        decision="review",
        confidence=0.71,
        total=eur(538),
        reason="doubt",
    ),
    row(
        4,
        "released",
        payment="voided",
        closed_ns=NOW_NS - 150 * S,
        settled_ns=NOW_NS - 144 * S,
        decision="release",
        confidence=0.98,
        total=eur(0),
    ),
    row(
        5,
        "settled",
        payment="captured",
        closed_ns=NOW_NS - 200 * S,
        settled_ns=NOW_NS - 188 * S,
        decision="charge",
        confidence=0.94,
        total=eur(1236),
    ),
    row(6, "owed", payment="owed", closed_ns=NOW_NS - 300 * S, decision="charge", confidence=0.99, total=eur(1890)),
    row(7, "aborted", door="never_opened", payment="voided"),
    row(8, "denied", door="locked", payment="auth_declined"),
    row(
        9,
        "settled",
        payment="partially_refunded",
        closed_ns=NOW_NS - 420 * S,
        settled_ns=NOW_NS - 402 * S,
        decision="charge",
        confidence=0.92,
        total=eur(249),
    ),
)
LIST = SessionsPage(ROWS, "all", "", "older", NOW_NS)

EVENTS = (
    ClipEvent(
        "take",
        "brava-light",
        "Brava Light 250 g",
        1,
        2.252,
        (1.468, 3.003),
        0.9999,
        "row_step",
        (
            Alternative("brava-light", "Brava Light 250 g", 0.9991, picture("brava-light")),
            Alternative("brava-grain", "Brava Grain 250 g", 0.0007, picture("brava-grain")),
        ),
        "/media/evidence/event_0_take.png",
    ),
    ClipEvent(
        "take",
        "brava-grain",
        "Brava Grain 250 g",
        1,
        6.256,
        (4.905, 7.608),
        0.712,
        "row_step",
        (
            Alternative("brava-grain", "Brava Grain 250 g", 0.712, picture("brava-grain")),
            Alternative("brava-vanilla", "Brava Vanilla 250 g", 0.203, picture("brava-vanilla")),
            Alternative("brava-light", "Brava Light 250 g", 0.064, picture("brava-light")),
        ),
        "/media/evidence/event_1_take.png",
    ),
    ClipEvent(
        "unknown",
        None,
        "Not in the catalog",
        1,
        8.1,
        (7.7, 8.6),
        0.64,
        "place_emptied",
        (
            Alternative(None, "Not in the catalog", 0.64),
            Alternative("bacoti-cocoa", "Bacoti Cocoa 100 g", 0.21, picture("bacoti-cocoa")),
        ),
        "/media/evidence/event_2_unknown.png",
    ),
)
BASKET = (
    BasketLine("brava-grain", "Brava Grain 250 g", 1, eur(289), eur(289), picture("brava-grain"), (1,)),
    BasketLine("brava-light", "Brava Light 250 g", 1, eur(249), eur(249), picture("brava-light"), (0,)),
)
VERDICT = Verdict("review", "a product that is not in the catalog was moved (at 8.1 s)", 0.71)
VERSIONS = (("pipeline", "cooler-1"), ("assortment", "3f2a9c01d77e"), ("prices", "5f20c6e8b7d1"))
FACTS = SessionFacts(
    ROWS[3],
    "verified",
    NOW_NS - 140 * S,
    9,
    eur(2500),
    None,
    None,
    Clip("/media/evidence/annotated.mp4", 9.3),
    EVENTS,
    BASKET,
    VERDICT,
    versions=VERSIONS,
)
SETTLED = replace(
    FACTS,
    row=ROWS[2],
    captured=eur(787),
    refundable=eur(787),
    receipt=RECEIPT,
    contest=CONTEST,
    verdict=Verdict("charge", "confidence 0.968 reaches 0.9", 0.968),
    basket=(replace(BASKET[0]), replace(BASKET[1], count=2, amount=eur(498), contested=True)),
    events=EVENTS[:2],
)
HISTORY = tuple(
    HistoryRow(NOW_NS - (140 - 12 * i) * S, event, before, after, facts)
    for i, (event, before, after, facts) in enumerate(
        (
            ("redeemed", "", "created", (("device", "Atrium 2"),)),
            ("authorized", "authorizing", "authorized", (("hold", "25.00 EUR"),)),
            ("unlock_sent", "authorized", "unlocking", (("sequence", "41"),)),
            ("door_opened", "unlocking", "open", ()),
            ("door_closed", "open", "closed", ()),
            ("evidence_verified", "waiting_evidence", "analyzing", (("segments", "5"), ("bytes", "412,331"))),
            ("analysed", "analyzing", "decided", (("decision", "charge"), ("confidence", "0.968"))),
            ("captured", "settling", "settled", (("amount", "7.87 EUR"),)),
        )
    )
)
OPERATIONS = (
    MoneyRow(NOW_NS - 138 * S, "hold", eur(2500), "done", f"{SESSION}:auth:1", "w-1", SESSION),
    MoneyRow(NOW_NS - 72 * S, "capture", eur(787), "done", f"{SESSION}:capture:1", "w-2", SESSION),
)
REVIEW_ROW = ReviewRow(NOW_NS - 60 * S, "Mara", "correct", "wrong_count", 14.2, (("brava-light", 1),))
DETAIL = SessionPage(
    SETTLED,
    HISTORY,
    OPERATIONS,
    (DecisionRow(NOW_NS - 72 * S, "pipeline", "charge", eur(787), "confidence 0.968 reaches 0.9"),),
    (),
    log_whole=True,
    can_refund=True,
    can_review=True,
    now_ns=NOW_NS,
    refund_key="k-1",
)
CHOICES = tuple(
    SkuChoice(sku, name, eur(minor), picture(sku))
    for sku, name, minor in (
        ("bacoti-cocoa", "Bacoti Cocoa 100 g", 199),
        ("bazama-melon", "Bazama Melon 150 g", 219),
        ("brava-grain", "Brava Grain 250 g", 289),
        ("brava-light", "Brava Light 250 g", 249),
        ("brava-vanilla", "Brava Vanilla 250 g", 259),
        ("reca-lime", "Reca Lime 580 g", 354),
    )
)
HOSTILE_CHOICE = SkuChoice("<i class=owned>x</i>", "<b class=owned>Xylo</b>", eur(100))
REVIEW = ReviewPage(FACTS, 3, NOW_NS - 240 * S, CHOICES, REVIEW_ROW, 16.5, now_ns=NOW_NS)
NO_REVIEW = replace(REVIEW, case=None, waiting=0, oldest_ns=None)
FLEET = FleetPage(
    (
        DeviceRow(
            "d-3",
            "Dock 7",
            "Kessler Logistics",
            "offline",
            "",
            ("offline",),
            NOW_NS - 26 * MINUTE,
            NOW_NS - 41 * MINUTE,
            9,
            0.78,
            1,
            38.2,
            None,
            2,
        ),
        DeviceRow(
            "d-1",
            "Atrium 2",
            "Northgate Station, Hall B",
            "online",
            "open",
            (),
            NOW_NS - 2 * S,
            NOW_NS - 20 * S,
            64,
            0.906,
            2,
            14.8,
            4.1,
        ),
        DeviceRow(
            "d-2",
            "Lobby",
            "Harbour Offices",
            "online",
            "locked",
            (),
            NOW_NS - 4 * S,
            NOW_NS - 11 * MINUTE,
            31,
            0.871,
            0,
            12.1,
            3.6,
        ),
        DeviceRow("d-4", "Canteen", "Harbour Offices", "never_seen", "", (), None, None, 0, None, 0, None),
    ),
    104,
    (eur(51_283),),
    0.884,
    3,
    0.0096,
    9.4,
    15.2,
    NOW_NS,
)
MONEY = MoneyPage(
    (
        OpenHold(ROWS[0].session_id, "Ada Lovelace", eur(2500), NOW_NS - 30 * S, None),
        OpenHold(ROWS[3].session_id, "Barbara Liskov", eur(2500), NOW_NS - 140 * S, NOW_NS + 5 * 86400 * S),
    ),
    (eur(5000),),
    (OwedRow(ROWS[6].session_id, "Edsger D.", eur(1890), NOW_NS - 300 * S, NOW_NS + 55 * MINUTE),),
    (eur(1890),),
    (
        Difference(
            "amounts_differ",
            "wallet",
            "7.87 EUR captured",
            "5.38 EUR captured",
            "The provider took another amount than we asked for. The operation is frozen.",
            ROWS[2].session_id,
        ),
    ),
    (
        *OPERATIONS,
        MoneyRow(NOW_NS - 60 * S, "refund", eur(249), "requested", f"{SESSION}:refund:1", "", SESSION, "wrong_count"),
        MoneyRow(NOW_NS - 50 * S, "void", eur(2500), "unknown", f"{SESSION}:void", "", SESSION),
    ),
    (eur(51_283),),
    (eur(498),),
    (),
    NOW_NS - 40 * S,
    NOW_NS,
)
DEVICE = DevicePage(
    FLEET.rows[1],
    "",
    (AlertRow("camera_dead", "the device answers and its camera does not", NOW_NS - 3 * 3600 * S, 2),),
    tuple(ROWS[i] for i in (0, 3, 6, 9)),
    Screen(
        "http://127.0.0.1:8000/q?t=eyJhbGciOiJFZERTQSIsImtpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ.eyJpc3MiOiJkLTEiLCJhdWQiOiJmbGVldHNpZ2h0LXFyIn0.c2lnbmF0dXJl",
        24,
    ),
    NOW_NS,
)
