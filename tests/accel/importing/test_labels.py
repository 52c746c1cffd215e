from pathlib import Path

import pytest

from fleetsight.accel.importing.labels import COCO, LabelsError, read_labels


def test_coco_has_eighty_names_in_the_known_order() -> None:
    assert len(set(COCO)) == 80
    assert (COCO[0], COCO[39], COCO[79]) == ("person", "bottle", "toothbrush")
    assert read_labels("coco") == COCO


def test_names_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_labels("product, hand") == ("product", "hand")
    assert read_labels("bottle") == ("bottle",)
    (tmp_path / "names.txt").write_text("product\n\n hand \n")
    assert read_labels(str(tmp_path / "names.txt")) == ("product", "hand")


@pytest.mark.parametrize(
    ("source", "message"), [("", "no names"), (" , ", "no names"), ("a,b,a", "twice: a"), ("x.txt", "no label file")]
)
def test_sources_without_clear_names_are_refused(source: str, message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        read_labels(source)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelsError, match="not text"):
        read_labels(str(tmp_path / "names.txt"))
