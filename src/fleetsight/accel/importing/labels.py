"""Label names: the eighty of COCO, a file with one name a line, or a list."""

from pathlib import Path

from fleetsight.errors import Error

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
"""The eighty classes of COCO in the order of its category ids (cocodataset.org, instances_val2017.json)."""


class LabelsError(Error):
    """Label names cannot be read."""

    code = "labels"


def read_labels(source: str) -> tuple[str, ...]:
    """Read label names.

    Args:
        source: "coco", a text file with one name a line, or names separated by commas.

    Returns:
        the names in order.

    Raises:
        LabelsError: no names, or a name stands twice.
    """
    if source == "coco":
        return COCO
    path = Path(source)
    if "," not in source and path.is_file():
        try:
            names = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise LabelsError(f"{source} is not text", hint="one name a line, UTF-8") from error
    elif "," not in source and path.suffix:
        raise LabelsError(
            f"there is no label file {source}", hint="give 'coco', a text file, or names separated by commas"
        )
    else:
        names = source.split(",")
    cleaned = tuple(name.strip() for name in names if name.strip())
    twice = sorted({name for name in cleaned if cleaned.count(name) > 1})
    if not cleaned or twice:
        raise LabelsError(f"labels {source!r}: {'no names' if not cleaned else 'twice: ' + ', '.join(twice)}")
    return cleaned
