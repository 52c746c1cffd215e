"""Effects that are wanted: one letter each, written in the transaction of the state change that wants it.

A worker claims letters that are due, does the effect, and finishes them. A worker that dies leaves its claim to run out. So
each effect happens at least once, and its own key (an id at the provider, a job id) makes it once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.clock import SECOND_NS, Clock
from fleetsight.store.canonical import JsonObject
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import METADATA, JsonColumn, Rows, TimeNs, insert_if_absent

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("body", JsonColumn, nullable=False),
    sa.Column("due_ns", TimeNs, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text, nullable=False, server_default=""),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("done_ns", TimeNs),
    sa.Index(
        "ix_outbox_waiting",
        "topic",
        "due_ns",
        sqlite_where=sa.text("done_ns IS NULL"),
        postgresql_where=sa.text("done_ns IS NULL"),
    ),
)


@dataclass(frozen=True)
class Letter:
    """An effect that is wanted.

    Attributes:
        key: names the effect for ever.
        topic: who performs it.
        body: what it needs.
        attempts: how often it was claimed, this time included.
    """

    key: str
    topic: str
    body: JsonObject
    attempts: int


@dataclass(frozen=True)
class Waiting:
    """What waits in one topic.

    Attributes:
        topic: the topic.
        count: letters that are not finished, due or not.
        oldest_due_ns: when the oldest of them is or was due.
    """

    topic: str
    count: int
    oldest_due_ns: int


def post(connection: sa.Connection, *, topic: str, key: str, body: JsonObject, due_ns: int) -> None:
    """Want an effect; posting the same key again changes nothing, also after it was done.

    Args:
        connection: of the transaction that changes the state.
        topic: who performs it.
        key: names the effect for ever.
        body: what it needs, plain JSON.
        due_ns: not before this moment, UTC nanoseconds.
    """
    values = {"key": key, "topic": topic, "body": body, "due_ns": due_ns, "attempts": 0, "error": "", "done_ns": None}
    insert_if_absent(connection, OUTBOX, values=values, keys=["key"])


class Outbox:
    """The worker's side.

    Args:
        rows: the database.
        clock: the time.
        holder: executor id of this life of the process (`fleetsight.store.lease.Lease.executor_id`), whose claims end with it; empty
            for claims that only run out.
    """

    def __init__(self, rows: Rows, clock: Clock, *, holder: str = "") -> None:
        self._rows = rows
        self._clock = clock
        self._holder = holder

    def claim(self, topics: Sequence[str], limit: int, *, lease_s: float) -> list[Letter]:
        """Take letters that are due, oldest first; nobody else gets them until the claim runs out.

        Args:
            topics: the topics this worker performs.
            limit: at most so many, > 0.
            lease_s: how long the claim holds; longer than performing them takes.
        Returns:
            the letters; none when nothing is due.
        """
        now_ns = self._clock.now_ns()
        due = (
            sa.select(OUTBOX.c.key, OUTBOX.c.topic, OUTBOX.c.body, OUTBOX.c.attempts)
            .where(OUTBOX.c.topic.in_(list(topics)), OUTBOX.c.done_ns.is_(None), OUTBOX.c.due_ns <= now_ns)
            .order_by(OUTBOX.c.due_ns, OUTBOX.c.key)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._rows.reading() as connection:  # an idle worker does not take the write lock of SQLite
            if connection.execute(due.with_only_columns(OUTBOX.c.key).limit(1)).first() is None:
                return []
        with self._rows.transaction() as connection:
            letters = [Letter(row.key, row.topic, row.body, row.attempts + 1) for row in connection.execute(due)]
            if letters:
                connection.execute(
                    sa.update(OUTBOX)
                    .where(OUTBOX.c.key.in_([letter.key for letter in letters]))
                    .values(
                        due_ns=now_ns + round(lease_s * SECOND_NS),
                        attempts=OUTBOX.c.attempts + 1,
                        holder=self._holder,
                    )
                )
        crashpoint("outbox.claimed")
        return letters

    def finish(self, key: str) -> None:
        """Say that the effect happened; safe to say twice.

        Args:
            key: the letter's key.
        """
        crashpoint("outbox.before-finish")
        with self._rows.transaction() as connection:
            finish(connection, key, at_ns=self._clock.now_ns())

    def retry_later(self, key: str, delay_s: float, *, error: str) -> None:
        """Give the claim back.

        Args:
            key: the letter's key.
            delay_s: due again after this.
            error: what went wrong, for people.
        """
        with self._rows.transaction() as connection:
            connection.execute(
                sa.update(OUTBOX)
                .where(OUTBOX.c.key == key, OUTBOX.c.done_ns.is_(None))
                .values(due_ns=self._clock.now_ns() + round(delay_s * SECOND_NS), error=error, holder="")
            )

    def holders(self) -> set[str]:
        """Find who has claims.

        Returns:
            executor ids; some may be dead.
        """
        question = sa.select(OUTBOX.c.holder).where(OUTBOX.c.done_ns.is_(None), OUTBOX.c.holder != "").distinct()
        with self._rows.reading() as connection:
            return set(connection.execute(question).scalars())

    def take_from(self, holders: Collection[str]) -> int:
        """End the claims of processes that are dead, so that their letters are due at once.

        Args:
            holders: executor ids. Were one alive, its letters would be performed twice at once.
        Returns:
            how many letters are due again.
        """
        if not holders:
            return 0
        theirs = (OUTBOX.c.done_ns.is_(None), OUTBOX.c.holder.in_(sorted(holders)))
        with self._rows.transaction() as connection:
            due = sa.update(OUTBOX).where(*theirs).values(due_ns=self._clock.now_ns(), holder="")
            return connection.execute(due).rowcount

    def waiting(self) -> list[Waiting]:
        """Count what is not finished; by topic.

        Returns:
            one entry for each topic with letters.
        """
        question = (
            sa.select(OUTBOX.c.topic, sa.func.count(), sa.func.min(OUTBOX.c.due_ns))
            .where(OUTBOX.c.done_ns.is_(None))
            .group_by(OUTBOX.c.topic)
            .order_by(OUTBOX.c.topic)
        )
        with self._rows.reading() as connection:
            return [Waiting(*row) for row in connection.execute(question)]

    def delete_finished(self, before_ns: int) -> int:
        """Delete letters that were finished long ago. Their keys are free again, so keep them longer than anyone may post.

        Args:
            before_ns: finished before this moment, UTC nanoseconds.
        Returns:
            how many were deleted.
        """
        with self._rows.transaction() as connection:
            return connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.done_ns < before_ns)).rowcount


def finish(connection: sa.Connection, key: str, *, at_ns: int) -> None:
    """Finish a letter in the transaction that keeps what its effect brought.

    Args:
        connection: of that transaction.
        key: the letter's key.
        at_ns: now.
    """
    connection.execute(sa.update(OUTBOX).where(OUTBOX.c.key == key, OUTBOX.c.done_ns.is_(None)).values(done_ns=at_ns))
