"""People are told, in a way that receivers can check, and nobody is told who is not meant."""

import http.server
import json
import logging
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from fleetsight import notify
from fleetsight.notify import LogChannel, Notice, NotifyError, WebHook, refusal

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOTICE = Notice("notice-1", "receipt.ready", 1_700_000_000_000_000_000, {"session_id": "s1", "total_minor": 250})
NOW_NS = 1_700_000_001_500_000_000


class Receiver(http.server.ThreadingHTTPServer):
    """A web hook on this machine that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.drip = False
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/hook?of=shop"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.server.drip:
            while not self.server.end.wait(0.02):
                self.wfile.write(b"H")
            return
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.end.set()
    server.shutdown()
    thread.join()
    server.server_close()


def at(*addresses: str) -> notify.Resolve:
    """A resolver that always gives these addresses."""

    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that standardwebhooks.com and its libraries test with."""
    made = notify.signature(
        notify.key_of(SECRET),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        at_s=1614265330,
        payload=b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_web_hook_is_told_once_with_a_signature_over_what_it_got(receiver: Receiver) -> None:
    assert WebHook(receiver.url, SECRET, loopback_allowed=True).send(NOTICE, now_ns=NOW_NS).delivered
    ((path, headers, body),) = receiver.heard
    assert path == "/hook?of=shop"
    assert json.loads(body) == {"type": NOTICE.kind, "timestamp": NOTICE.at_ns, "data": dict(NOTICE.body)}
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("notice-1", "1700000001")
    key = notify.key_of(SECRET)
    assert headers["webhook-signature"] == notify.signature(key, "notice-1", at_s=1_700_000_001, payload=body)


def test_a_receiver_that_refuses_was_not_told(receiver: Receiver) -> None:
    receiver.status = 500
    told = WebHook(receiver.url, SECRET, loopback_allowed=True).send(NOTICE, now_ns=NOW_NS)
    assert (told.delivered, told.reason) == (False, "localhost answered 500")


@pytest.mark.bad_input(61)
def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status = 302
    told = WebHook(receiver.url, SECRET, loopback_allowed=True).send(NOTICE, now_ns=NOW_NS)
    assert not told.delivered
    assert "redirects are not followed" in told.reason
    assert len(receiver.heard) == 1


def test_a_receiver_that_drips_its_answer_is_cut_off(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; the whole answer never does."""
    monkeypatch.setattr(notify, "DEADLINE_S", 0.3)
    receiver.drip = True
    assert not WebHook(receiver.url, SECRET, loopback_allowed=True).send(NOTICE, now_ns=NOW_NS).delivered


def test_a_receiver_that_is_away_was_not_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    told = WebHook(f"http://127.0.0.1:{port}/", SECRET, loopback_allowed=True).send(NOTICE, now_ns=NOW_NS)
    assert not told.delivered
    assert "Refused" in told.reason


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "169.254.169.254",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "0.0.0.0",
        "::",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:db8::1",
        "localhost",
    ],
)
@pytest.mark.bad_input(61)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, loopback_allowed=False)
    told = WebHook("https://shop.example/hook", SECRET, resolve=at("93.184.216.34", address))
    assert not told.send(NOTICE, now_ns=NOW_NS).delivered  # one bad address among good ones is enough


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_what_is_public_may_be_posted_to(address: str) -> None:
    assert refusal(address, loopback_allowed=False) == ""


def test_allowing_loopback_allows_nothing_else() -> None:
    assert refusal("127.0.0.1", loopback_allowed=True) == ""
    assert refusal("::ffff:127.0.0.1", loopback_allowed=True) == ""
    assert refusal("169.254.169.254", loopback_allowed=True)
    assert refusal("10.0.0.1", loopback_allowed=True)


@pytest.mark.bad_input(61)
def test_a_name_is_resolved_once_and_the_connection_goes_to_that_address(receiver: Receiver) -> None:
    """A name that answers 127.0.0.1 the first time and the metadata service the second is asked only once."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    asked = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    url = f"http://rebinding.example:{receiver.server_port}/hook"
    assert WebHook(url, SECRET, loopback_allowed=True, resolve=rebinding).send(NOTICE, now_ns=NOW_NS).delivered
    assert asked == ["rebinding.example"]
    assert receiver.heard[0][1]["host"] == f"rebinding.example:{receiver.server_port}"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://host/",
        "http://shop.example/hook",
        "https://",
        "https:///path",
        "https://user@shop.example/",
        "https://user:word@shop.example/",
        "https://shop.example:99999/",
        "https://shop.example:0/",
        "https://shop.example/a b",
        "https://shop.example/\r\nX-Injected: 1",
        "https://[::1/",
        "shop.example",
        "",
    ],
)
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(NotifyError) as caught:
        WebHook(url, SECRET)
    assert caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "[::1]"])
@pytest.mark.bad_input(61)
def test_this_machine_is_refused_however_it_is_written(host: str, receiver: Receiver) -> None:
    told = WebHook(f"https://{host}:{receiver.server_port}/", SECRET).send(NOTICE, now_ns=NOW_NS)
    assert not told.delivered
    assert receiver.heard == []


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"])
def test_a_secret_of_another_form_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(NotifyError) as caught:
        WebHook("https://shop.example/hook", secret)
    assert "AAAA" not in str(caught.value)


def test_the_log_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fleetsight.notify"):
        assert LogChannel().send(NOTICE, now_ns=NOW_NS).delivered
    (line,) = caplog.messages
    assert line == "notice kind=receipt.ready id=notice-1 late_s=1.5 session_id=s1 total_minor=250"
