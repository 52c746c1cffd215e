"""Where requests wait: one first-in-first-out line for each class, strict between classes, bounded altogether.

Inside a class nobody is overtaken: what admission promised to one request no later request of its class can take away. Every operation
takes constant time.
"""

from collections import OrderedDict
from collections.abc import Iterator

from fleetsight.serve.queueing.request import Priority, Request

CLASSES = tuple(Priority)


class Line:
    """Requests that wait.

    Args:
        places: most requests that wait at once, >= 1.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._classes: tuple[OrderedDict[int, Request], ...] = tuple(OrderedDict() for _ in CLASSES)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Request]:
        for waiting in self._classes:
            yield from waiting.values()

    def ahead_of(self, priority: Priority) -> int:
        """How many would be served before a newcomer of a class."""
        return sum(len(self._classes[level]) for level in range(priority + 1))

    def push(self, request: Request) -> Request | None:
        """Let a request wait.

        Args:
            request: a newcomer.
        Returns:
            who has to go: None; when every place was taken the last of a lower class, else the newcomer itself.
        """
        gone = None
        if self._count >= self.places:
            gone = self._last_below(request.priority)
            if gone is None:
                return request
            self.remove(gone)
        self._classes[request.priority][request.number] = request
        self._count += 1
        return gone

    def push_front(self, request: Request) -> None:
        """Put back a request whose backend died: it waited already, and takes its place even when all are taken."""
        waiting = self._classes[request.priority]
        waiting[request.number] = request
        waiting.move_to_end(request.number, last=False)
        self._count += 1

    def pop(self) -> Request | None:
        """Take the first of the highest class."""
        for waiting in self._classes:
            if waiting:
                self._count -= 1
                return waiting.popitem(last=False)[1]
        return None

    def remove(self, request: Request) -> bool:
        """Take out one request; says whether it was waiting."""
        found = self._classes[request.priority].pop(request.number, None) is not None
        self._count -= found
        return found

    def expire(self, now_ns: int) -> list[Request]:
        """Take out all that nobody waits for any more."""
        late = [request for request in self if request.is_expired(now_ns)]
        for request in late:
            self.remove(request)
        return late

    def oldest_ns(self) -> int | None:
        """When the one that waits longest came; None when nobody waits."""
        return min((next(iter(w.values())).arrived_ns for w in self._classes if w), default=None)

    def _last_below(self, priority: Priority) -> Request | None:
        for waiting in reversed(self._classes[priority + 1 :]):
            if waiting:
                return next(reversed(waiting.values()))
        return None
