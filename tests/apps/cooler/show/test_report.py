"""The JSON of a settlement holds plain values."""

import json

from fleetsight.apps.cooler.show.report import as_json
from tests.apps.cooler.show.settled import shown, take


def test_the_json_says_what_was_settled() -> None:
    value = json.loads(json.dumps(as_json(shown([take("cola", count=2)], true={"cola": 2}).settlement)))
    assert value["basket"] == {"cola": 2}
    assert value["decision"] == "charge"
    assert value["frames_per_s"] == 150.0
    (event,) = value["events"]
    assert (event["kind"], event["sku"], event["count"], event["window_s"]) == ("take", "cola", 2, [1.6, 2.4])
    assert event["alternatives"] == [{"sku": "cola", "score": 0.9}, {"sku": None, "score": 0.1}]
