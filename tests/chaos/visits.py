"""Which crash points a purchase passes, and how often."""

import json
from collections import Counter

from fleetsight.store.crashpoint import POINTS
from tests.chaos.recorder import RECORD
from tests.chaos.service import RECORDED
from tests.chaos.shop import Shop

ELSEWHERE = {
    "answers.before-commit": "an objection, a verdict, a refund",
    "blobs.after-upload": "a bucket, not a folder",
    "blobs.before-upload": "a bucket, not a folder",
    "provider-news.kept": "a provider that speaks first",
    "retention.deleted": "days after the purchase",
    "sweep.before-commit": "a deadline that passes",
}
"""Points that no purchase passes, and why; those of the device's own process are added by their name."""
ELSEWHERE |= {name: "the device's process" for name in POINTS if name.startswith("device.")}


def visits_of(shop: Shop) -> Counter[str]:
    """Let one purchase happen, and count."""
    shop.armed = [[(RECORDED, 1)]]
    promises = shop.kiosk().visit()
    assert promises.stage == "receipt", (promises, shop.log()[-4000:])
    assert shop.faults(promises) == []
    return Counter(json.loads(line) for line in (shop.folder / RECORD).read_text().splitlines())
