import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from fleetsight.serve.load.line import BROKEN, Line, Payload, Target, unchunked
from fleetsight.serve.load.shots import LoadError


def answered(pieces: Sequence[bytes], *, ends: bool = False) -> tuple[int, bytes, bool]:
    """What a line makes of an answer that arrives in pieces: status, body and whether the line may be used again."""

    async def talk() -> tuple[int, bytes, bool]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            if not ends:
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
            ended.set()

        ended = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
        told: asyncio.Future[tuple[int, bytes, bool]] = asyncio.get_running_loop().create_future()
        head = Target("127.0.0.1", port, "/x").head(Payload(b"body"))
        line.send(head, b"body", done=lambda status, body: told.set_result((status, body, line.usable)))
        found = await asyncio.wait_for(told, 5)
        line.abort()
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0)  # the writer's connection is told
        server.close()
        await server.wait_closed()
        return found

    return asyncio.run(talk())


@pytest.mark.parametrize(
    ("pieces", "ends", "seen"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], False, (200, b"ok", True)),
        ([b"HTTP/1.1 4", b"29 No\r\ncontent-len", b"gth: 2\r\n\r", b"\no", b"k"], False, (429, b"ok", True)),
        ([b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"], False, (204, b"", True)),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"], False, (200, b"ok", False)),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
            False,
            (200, b"ok", True),
        ),
        ([b"HTTP/1.1 200 OK\r\n\r\no", b"k"], True, (200, b"ok", False)),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"], True, (BROKEN, b"", False)),
        ([b"HTTP/1.1 200"], True, (BROKEN, b"", False)),
        ([b"SSH-2.0-nothing\r\n\r\n"], False, (BROKEN, b"", False)),
        ([b"x" * 70_000], False, (BROKEN, b"", False)),
    ],
)
def test_an_answer_is_read_however_it_arrives(pieces: list[bytes], ends: bool, seen: tuple[int, bytes, bool]) -> None:
    assert answered(pieces, ends=ends) == seen


def test_a_head_names_target_length_and_its_own_lines() -> None:
    target = Target.at("http://cameras.test:81/base/", "/v2/infer", headers=("X-Deadline-Ms: 50",))
    assert target.head(Payload(b"123", ("Inference-Header-Content-Length: 9",))) == (
        b"POST /base/v2/infer HTTP/1.1\r\nHost: cameras.test:81\r\nContent-Length: 3\r\nContent-Type: image/jpeg\r\n"
        b"X-Deadline-Ms: 50\r\nInference-Header-Content-Length: 9\r\n\r\n"
    )


@pytest.mark.parametrize("url", ["https://x", "x", "http://", "http://x/?a=b"])
def test_an_address_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(LoadError, match="plain HTTP"):
        Target.at(url, "/")


def test_a_line_break_in_a_header_is_refused() -> None:
    with pytest.raises(LoadError, match="line break"):
        Target.at("http://x", "/", headers=("A: b\r\nC: d",))


def test_a_damaged_chunk_ends_the_body() -> None:
    assert unchunked(b"1\r\na\r\nzz\r\n") == b"a"
