"""The Open Inference Protocol, version 2, over REST with its binary extension: what clients of Triton, KServe and OpenVINO speak.

A model takes one tensor ``image`` of BYTES, each element a JPEG, and answers one tensor ``result`` of BYTES, each element the JSON of one
frame. A binary tensor is the concatenation of elements, each 4 bytes length (little-endian) and its bytes; the JSON before it has the
length of the header ``Inference-Header-Content-Length``. (KServe, "Open Inference Protocol"; Triton, "Binary Tensor Data Extension".)
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

from fleetsight.serve.http.exchange import BODY_BYTES_MAX, Exchange, Memory, too_large
from fleetsight.serve.http.head import Head, read_head
from fleetsight.serve.queueing.request import Answer, Outcome, Reason, Refusal, Request
from fleetsight.serve.tier.router import Router

JSON_LENGTH = b"inference-header-content-length"
FRAMES_MAX = 256
"""Most frames of one request."""
INPUT, OUTPUT = "image", "result"
OCTETS = b"application/octet-stream"
LENGTH_BYTES = 4


class Oip:
    """Answers clients of the protocol.

    Args:
        router: where to.
        memory: what bodies may take.
    """

    def __init__(self, router: Router, memory: Memory) -> None:
        self._router = router
        self._memory = memory

    def server(self) -> dict[str, Any]:
        """Metadata of the server."""
        return {"name": "fleetsight", "version": version_of("fleetsight"), "extensions": ["binary_tensor_data"]}

    def model(self, name: str) -> dict[str, Any] | None:
        """Metadata of a model; None when there is none of this name."""
        if name not in self._router.deployments:
            return None
        return {
            "name": name,
            "versions": ["1"],
            "platform": "fleetsight",
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": OUTPUT, "datatype": "BYTES", "shape": [-1]}],
        }

    async def infer(self, exchange: Exchange, model: str) -> None:
        """Answer one request of one or more frames.

        Args:
            exchange: the request.
            model: that its path names.
        """
        head = read_head(exchange)
        if isinstance(head, Refusal):
            self._router.refused(model, head.reason)
            await _refuse(exchange, head)
            return
        refusal = self._router.foresee(model, deadline_ns=head.deadline_ns, priority=head.priority)
        length = exchange.length()
        taken = BODY_BYTES_MAX if length is None else length
        if taken > BODY_BYTES_MAX:
            refusal = too_large(BODY_BYTES_MAX)
        if refusal is None and not self._memory.take(taken):
            refusal = Refusal(Reason.MEMORY_FULL, "too many bodies are under way", retry_after_ms=1000.0)
        if refusal is not None:
            self._router.refused(model, refusal.reason)
            await _refuse(exchange, refusal)
            return
        try:
            body = await exchange.body()
            asked = body if isinstance(body, Refusal) else read_infer(body, exchange.headers.get(JSON_LENGTH))
            if isinstance(asked, Refusal):
                self._router.refused(model, asked.reason)
                await _refuse(exchange, asked)
                return
            told, jpegs = asked
            answering = (self._one(model, head, jpeg) for jpeg in jpegs)
            outcomes = await exchange.while_there(asyncio.gather(*answering))
        finally:
            self._memory.give(taken)
        await _answer(exchange, model, told, outcomes)

    async def _one(self, model: str, head: Head, jpeg: bytes) -> Outcome:
        request = Request(model, jpeg, head.deadline_ns, head.priority, camera=head.camera, score_min=head.score_min)
        return await self._router.answer(request)


def read_infer(body: bytes | bytearray, json_length: bytes | None) -> tuple[Mapping[str, Any], list[bytes]] | Refusal:
    """Take a request apart.

    Args:
        body: whole.
        json_length: header that says where the JSON ends; None: everything is JSON.
    Returns:
        the JSON, and the frames; or what is wrong.
    """
    if json_length is not None and not (json_length.isdigit() and int(json_length) <= len(body)):
        return _bad(f"Inference-Header-Content-Length is {json_length[:20]!r} for a body of {len(body)} bytes")
    end = len(body) if json_length is None else int(json_length)
    try:
        told = json.loads(bytes(body[:end]))
        tensors = told["inputs"]
        if len(tensors) != 1 or tensors[0]["datatype"] != "BYTES":
            return _bad("one input tensor of datatype BYTES was expected")
        parameters = tensors[0].get("parameters", {})
        if "binary_data_size" in parameters:
            frames = elements(bytes(body[end:]), int(parameters["binary_data_size"]))
        else:
            frames = [entry.encode("latin-1") for entry in tensors[0]["data"]]
        count = 1
        for side in tensors[0]["shape"]:
            count *= int(side)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        return _bad(f"the request is no inference request: {type(error).__name__}: {str(error)[:200]}")
    if frames is None or count != len(frames) or not 1 <= count <= FRAMES_MAX:
        said = "a broken tensor" if frames is None else f"{len(frames)} frames"
        return _bad(f"shape {tensors[0]['shape']} with {said}; 1 to {FRAMES_MAX} frames are taken")
    return told, frames


def elements(data: bytes, size: int) -> list[bytes] | None:
    """Cut a binary tensor of BYTES into its elements.

    Args:
        data: the tensor.
        size: what the JSON says its length is.
    Returns:
        the elements; None when lengths do not add up.
    """
    if size != len(data):
        return None
    found: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + LENGTH_BYTES], "little")
        end = at + LENGTH_BYTES + length
        if end > len(data) or len(found) > FRAMES_MAX:
            return None
        found.append(data[at + LENGTH_BYTES : end])
        at = end
    return found


async def _answer(exchange: Exchange, model: str, told: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    failed = next((outcome for outcome in outcomes if isinstance(outcome, Refusal)), None)
    if failed is not None:  # the protocol knows no partial answers
        await _refuse(exchange, failed)
        return
    results = [outcome.result for outcome in outcomes if isinstance(outcome, Answer)]
    wanted = told.get("outputs") or [{}]
    parameters = wanted[0].get("parameters", {}) if isinstance(wanted, list) and isinstance(wanted[0], dict) else {}
    whole = told.get("parameters", {})
    is_binary = bool(parameters.get("binary_data", whole.get("binary_data_output", False)))
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "BYTES", "shape": [len(results)]}
    answer: dict[str, Any] = {"model_name": model, "outputs": [output]}
    if "id" in told:
        answer["id"] = str(told["id"])
    if not is_binary:
        output["data"] = [result.decode() for result in results]
        await exchange.tell(answer)
        return
    data = b"".join(len(result).to_bytes(LENGTH_BYTES, "little") + result for result in results)
    output["parameters"] = {"binary_data_size": len(data)}
    text = json.dumps(answer).encode()
    extra = [(JSON_LENGTH, b"%d" % len(text))]
    await exchange.reply(200, text + data, kind=OCTETS, extra=extra)


async def _refuse(exchange: Exchange, refusal: Refusal) -> None:
    """The protocol's form of an error, with the same status and times as ours."""
    extra = []
    if refusal.retry_after_ms is not None:
        extra.append((b"retry-after", b"%d" % max(1, round(refusal.retry_after_ms / 1000 + 0.499))))
    body = json.dumps({"error": f"{refusal.reason.word}: {refusal.detail}"}).encode()
    await exchange.reply(refusal.reason.status, body, extra=extra)


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
