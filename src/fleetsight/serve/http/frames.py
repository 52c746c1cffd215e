"""``POST /v1/models/{model}/infer``: one JPEG in, one JSON answer out.

The order matters: the head is judged and admission asked before a byte of the body is read, so that a refusal under overload costs
neither network nor memory. While an engine works the caller is watched: whoever hangs up is not worked for.
"""

import json
import time

from fleetsight.serve.http.exchange import BODY_BYTES_MAX, Exchange, Gone, Memory, too_large
from fleetsight.serve.http.head import Head, read_head
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Reason, Refusal, Request
from fleetsight.serve.tier.router import Router


class Frames:
    """Answers frames.

    Args:
        router: where to.
        memory: what bodies may take.
    """

    def __init__(self, router: Router, memory: Memory) -> None:
        self._router = router
        self._memory = memory

    async def infer(self, exchange: Exchange, model: str) -> None:
        """Answer one request.

        Args:
            exchange: the request.
            model: that its path names.
        """
        head = read_head(exchange)
        if isinstance(head, Refusal):
            await self._refuse(exchange, model, head)
            return
        begin_ns = time.monotonic_ns()
        length = exchange.length()
        taken = length if length is not None else BODY_BYTES_MAX
        refusal = (
            too_large(BODY_BYTES_MAX)
            if taken > BODY_BYTES_MAX
            else self._router.foresee(model, deadline_ns=head.deadline_ns, priority=head.priority)
        )
        if refusal is None and not self._memory.take(taken):
            refusal = Refusal(Reason.MEMORY_FULL, "too many bodies are under way", retry_after_ms=1000.0)
        if refusal is not None:
            await self._refuse(exchange, model, refusal)
            return
        try:
            outcome = await self._outcome(exchange, model, head=head)
        finally:
            self._memory.give(taken)
        if isinstance(outcome, Answer):
            await exchange.reply(200, answer_json(model, outcome, total_ms=(time.monotonic_ns() - begin_ns) / MS_NS))
        else:
            await exchange.refuse(outcome)

    async def _outcome(self, exchange: Exchange, model: str, *, head: Head) -> Outcome:
        """Read the body and get it answered while its caller is watched."""
        try:
            body = await exchange.body()
        except Gone:
            self._router.refused(model, Reason.ABANDONED)
            raise
        if not isinstance(body, Refusal) and not body:
            body = Refusal(Reason.BAD_REQUEST, "the body is empty, a JPEG was expected")
        if isinstance(body, Refusal):
            self._router.refused(model, body.reason)
            return body
        request = Request(model, body, head.deadline_ns, head.priority, head.key, head.camera, score_min=head.score_min)
        return await exchange.while_there(self._router.answer(request))

    async def _refuse(self, exchange: Exchange, model: str, refusal: Refusal) -> None:
        self._router.refused(model, refusal.reason)
        await exchange.refuse(refusal, unread=True)


def answer_json(model: str, answer: Answer, *, total_ms: float) -> bytes:
    """An answer as JSON, around the result that the engine's process wrote.

    Args:
        model: that was asked for.
        answer: the answer.
        total_ms: from the head of the request to now.
    Returns:
        one JSON object.
    """
    times = answer.times
    head = (
        f'{{"model":{json.dumps(model)},"variant":{json.dumps(answer.variant)},"backend":{json.dumps(answer.backend)},'
        f'"version":{json.dumps(answer.version)},"times_ms":{{"queue":{times.queue:.3f},"service":{times.service:.3f},'
        f'"total":{total_ms:.3f}}},"batch":{times.batch},"result":'
    )
    return head.encode() + answer.result + b"}"
