"""An Ultralytics `.pt`: their code and, by their terms, their weights are AGPL-3.0.

So their package is never imported here. A process of its own (`ultralytics_plugin`) loads the file, writes an ONNX file and
says what it did; the licence it states goes into the lineage, and nothing starts before the user has accepted it.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from fleetsight.accel.licence import LicenceError
from fleetsight.accel.sources.onnx_source import onnx_source
from fleetsight.accel.sources.source import Source, SourceError

LICENCE = "AGPL-3.0"

PLUGIN = "fleetsight.accel.sources.ultralytics_plugin"

EXPORT_WAIT_S = 900.0
"""Longest export; a large detector takes a minute."""


def ultralytics_source(
    path: Path, *, allow_restricted_licence: bool = False, size_wh: tuple[int, int] | None = None
) -> Source:
    """Make a source of an Ultralytics file by way of the plugin process.

    Args:
        path: the `.pt` file: a pickle, which the plugin process loads and this one never does.
        allow_restricted_licence: the user accepts the AGPL.
        size_wh: of the picture; None: 640 x 640.

    Returns:
        the source, its licence and lineage AGPL-3.0.

    Raises:
        LicenceError: the AGPL was not accepted.
        SourceError: the plugin cannot work.
    """
    if not allow_restricted_licence:
        raise LicenceError(
            f"{path} is taken for an Ultralytics model: its code and weights are {LICENCE}, which binds whoever ships them",
            hint="take a permissively licensed model; with --allow-restricted-licence a separate process converts it",
        )
    width, height = size_wh or (640, 640)
    with tempfile.TemporaryDirectory(prefix="fleetsight-ultralytics-") as folder:
        target = Path(folder) / f"{path.stem}.onnx"
        command = [sys.executable, "-m", PLUGIN, str(path), str(target), str(width), str(height)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=EXPORT_WAIT_S)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"the Ultralytics plugin took longer than {EXPORT_WAIT_S:.0f} s for {path}") from error
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1][:300]
            raise SourceError(
                f"the Ultralytics plugin failed: {said}", hint="pip install ultralytics (AGPL-3.0), then try again"
            )
        stated = json.loads(done.stdout.strip().splitlines()[-1])
        plain = onnx_source(target, licence=LICENCE)
        graph = plain.graph()
    lineage = {
        "source": path.name,
        "converted_by": f"ultralytics {stated['version']} in a separate process",
        "licence_of_code": LICENCE,
        "licence_of_weights": LICENCE,
    }
    content = hashlib.sha256(path.read_bytes())
    content.update(f"{stated['version']} {width} {height}".encode())
    return replace(
        plain,
        graph=lambda: replace(graph, licence=LICENCE, lineage=lineage),
        weights_sha256=content.hexdigest(),
        licence=LICENCE,
        lineage=lineage,
    )
