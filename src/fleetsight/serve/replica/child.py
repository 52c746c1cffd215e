"""The process of a replica: `python -m fleetsight.serve.replica.child ORDER`, where the order is one JSON object.

It ends with its parent: a pipe that the parent holds open reaches its end when the parent is gone, however it went.
"""

import asyncio
import json
import logging
import os
import sys
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from fleetsight.errors import Error
from fleetsight.serve.engine.source import Source
from fleetsight.serve.replica.address import Address, listen, read_address
from fleetsight.serve.replica.host import Host

EXIT_REFUSED = 2
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter when another wants it (Python's default is 5 ms, a quarter of a frame's time)."""


@dataclass(frozen=True)
class Order:
    """What a child should be.

    Attributes:
        source: of the engine.
        address: where it listens.
        version: of the model.
        batch_max: most frames of one batch.
        streams: batches at once.
    """

    source: Source
    address: Address
    version: str = ""
    batch_max: int = 1
    streams: int = 1

    def to_json(self) -> str:
        """One line."""
        told: dict[str, Any] = asdict(self) | {"address": str(self.address)}
        return json.dumps(told, default=str)

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """Read what `to_json` wrote."""
        told = json.loads(text)
        source = Source(**told.pop("source"))
        folder = None if source.models_dir is None else Path(source.models_dir)
        source = replace(source, models_dir=folder, trusted=tuple(source.trusted))
        return cls(source=source, address=read_address(told.pop("address")), **told)


def run(order: Order, *, parent: int | None = None) -> None:
    """Be a replica until told to end.

    Args:
        order: what to be.
        parent: read end of the parent's pipe; None: this process is nobody's child.
    """
    sys.setswitchinterval(SWITCH_S)
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    host = Host(order.source, batch_max=order.batch_max, streams=order.streams)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(host.serve(listen(order.address), order.version))


def _end_with(parent: int) -> None:
    os.read(parent, 1)
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        run(Order.from_json(sys.argv[1]), parent=0)
    except Error as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)  # noqa: T201 - the last word of a child
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        sys.exit(0)
