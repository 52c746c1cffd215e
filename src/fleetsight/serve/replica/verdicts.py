"""From what an engine returned to outcomes: nothing an engine does may reach a caller unchecked."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from fleetsight.errors import Error
from fleetsight.serve.engine.protocol import Engine, Frame, FrameFault, Result
from fleetsight.serve.queueing.request import Answer, Outcome, Reason, Refusal, Request, Times

RESULT_BYTES_MAX = 8 * 1024**2
"""Largest result of one frame: a thousand boxes are 100 kB."""
LOG = logging.getLogger(__name__)


def infer(engine: Engine, batch: Sequence[Request]) -> list[Result | Refusal]:
    """Run a batch; when it fails as a whole, each frame alone, so that one bad frame costs only itself.

    Args:
        engine: loaded.
        batch: at least one request.
    Returns:
        a result or a refusal for each.
    """
    frames = [Frame(request.body, request.score_min) for request in batch]
    try:
        results: Any = engine.infer_batch(frames)
    except Exception as error:  # the boundary of the engine: whatever it raises is its answer
        if len(frames) > 1:
            return [infer(engine, [request])[0] for request in batch]
        LOG.warning("engine failed frame_bytes=%d", len(frames[0].jpeg), exc_info=not isinstance(error, Error))
        return [Refusal(Reason.ENGINE_FAILED, f"the engine failed: {type(error).__name__}: {error}")]
    if not isinstance(results, Sequence) or len(results) != len(frames):
        given = len(results) if isinstance(results, Sequence) else type(results).__name__
        return [Refusal(Reason.BAD_RESULT, f"the engine gave {given} results for {len(frames)} frames")] * len(frames)
    return list(results)


def outcome(result: Result | Refusal, times: Times, *, version: str) -> Outcome:
    """Turn one result into an outcome.

    Args:
        result: what the engine said about a frame.
        times: where the time went.
        version: of the model.
    Returns:
        an answer when the result is plain JSON with finite numbers, else why not.
    """
    if isinstance(result, Refusal):
        return result
    if isinstance(result, FrameFault):
        return Refusal(Reason.NOT_AN_IMAGE, result.detail)
    try:
        text = json.dumps(result, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return Refusal(Reason.BAD_RESULT, f"the engine's result is no plain JSON: {error}")
    if len(text) > RESULT_BYTES_MAX:
        return Refusal(Reason.BAD_RESULT, f"the engine's result has {len(text)} bytes, at most {RESULT_BYTES_MAX}")
    return Answer(text, version=version, times=times)
