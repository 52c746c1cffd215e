"""A process of its own that turns an Ultralytics `.pt` into ONNX; run with `python -m`, never imported.

It is the only place that imports `ultralytics`, whose licence is AGPL-3.0 and which is not among our dependencies. Loading
the file unpickles it: do that with files whose author you trust.

    python -m fleetsight.accel.sources.ultralytics_plugin MODEL.pt OUT.onnx WIDTH HEIGHT
"""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Convert one file and print what was done as one JSON object.

    Args:
        arguments: source, target, width, height.

    Returns:
        the exit code.
    """
    source, target, width, height = arguments
    try:
        ultralytics: Any = import_module("ultralytics")
    except ImportError as error:
        sys.stderr.write(f"ultralytics is not installed: {error}\n")
        return 1
    sys.stderr.write("ultralytics is AGPL-3.0, its weights too: what is made from them is bound by it\n")
    written = ultralytics.YOLO(source).export(
        format="onnx", imgsz=(int(height), int(width)), dynamic=False, simplify=False, nms=False, opset=17
    )
    shutil.move(str(written), Path(target))
    sys.stdout.write(json.dumps({"version": str(ultralytics.__version__), "licence": "AGPL-3.0"}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
