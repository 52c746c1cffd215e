"""The one way out to people and their systems: a line in the log, and a signed web hook.

A web hook's address is written by an operator, so it may point anywhere, also at what only this machine can reach. Its name is
therefore resolved once, every address it has must be public, and the connection goes to the address that was checked; no
redirect is followed. What is sent is signed as standardwebhooks.com says, so that the receiver can tell it from a forgery.
"""

import base64
import binascii
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from fleetsight.clock import SECOND_NS
from fleetsight.errors import Error

LOG = logging.getLogger(__name__)

DEADLINE_S = 5.0
"""For one delivery in all: an outbox tries again later, so waiting longer only blocks others."""
ANSWER_BYTES = 64 * 1024
"""So much of an answer is read and no more; a receiver has nothing to say beyond its status."""
SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)  # standardwebhooks.com: between 24 and 64 bytes
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class NotifyError(Error):
    """A web hook that cannot be used as it was given."""

    code = "notify"


@dataclass(frozen=True)
class Notice:
    """What people are told.

    Attributes:
        notice_id: names it for ever; a receiver that saw it before ignores it.
        kind: what happened, such as ``receipt.ready``.
        at_ns: when, UTC nanoseconds.
        body: the facts, plain JSON.
    """

    notice_id: str
    kind: str
    at_ns: int
    body: Mapping[str, Any]

    def payload(self) -> bytes:
        """The JSON object that is sent: ``type``, ``timestamp`` (UTC nanoseconds) and ``data``."""
        value = {"type": self.kind, "timestamp": self.at_ns, "data": dict(self.body)}
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True)
class Delivery:
    """What became of a notice.

    Attributes:
        delivered: it arrived; when False try again later.
        reason: why not, for people.
    """

    delivered: bool
    reason: str = ""


class Channel(Protocol):
    """A way to people."""

    def send(self, notice: Notice, *, now_ns: int) -> Delivery:
        """Tell people.

        Args:
            notice: what.
            now_ns: the time, UTC nanoseconds.
        Returns:
            what became of it; never an exception for what a receiver or the network does.
        """
        ...


class LogChannel:
    """Writes notices into the log."""

    def send(self, notice: Notice, *, now_ns: int) -> Delivery:
        facts = " ".join(f"{name}={value}" for name, value in notice.body.items())
        late_s = (now_ns - notice.at_ns) / SECOND_NS
        LOG.info("notice kind=%s id=%s late_s=%.1f %s", notice.kind, notice.notice_id, late_s, facts)
        return Delivery(delivered=True)


class WebHook:
    """Posts notices to an address.

    Args:
        url: https; http too where loopback is allowed.
        secret: ``whsec_`` and the base64 of 24 to 64 bytes.
        loopback_allowed: the receiver may be on this machine; nothing else that is not public ever is.
        resolve: names to addresses; the system's when None.
    Raises:
        NotifyError: an address or a secret of another form.
    """

    def __init__(
        self, url: str, secret: str, *, loopback_allowed: bool = False, resolve: Resolve | None = None
    ) -> None:
        self._parts = checked_url(url, loopback_allowed=loopback_allowed)
        self._key = key_of(secret)
        self._loopback_allowed = loopback_allowed
        self._resolve = resolve or _system_resolve

    def send(self, notice: Notice, *, now_ns: int) -> Delivery:
        payload = notice.payload()
        at_s = now_ns // SECOND_NS
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "fleetsight",
            "webhook-id": notice.notice_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature(self._key, notice.notice_id, at_s=at_s, payload=payload),
        }
        try:
            return self._post(payload, headers)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Delivery(delivered=False, reason=f"{type(error).__name__}: {error}")

    def _post(self, payload: bytes, headers: Mapping[str, str]) -> Delivery:
        host, port = self._parts.hostname or "", _port(self._parts)
        addresses = self._resolve(host, port)
        for address in addresses:
            if reason := refusal(address, loopback_allowed=self._loopback_allowed):
                return Delivery(delivered=False, reason=f"{host} is at {address}, which is {reason}")
        if not addresses:
            return Delivery(delivered=False, reason=f"{host} has no address")
        connection = _PinnedConnection(host, port, address=addresses[0], secure=self._parts.scheme == "https")
        timer = threading.Timer(DEADLINE_S, connection.cut)
        timer.start()
        try:
            target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request("POST", target, body=payload, headers=dict(headers))
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES)
        finally:
            timer.cancel()
            connection.close()
        if 200 <= answer.status < 300:
            return Delivery(delivered=True)
        followed = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return Delivery(delivered=False, reason=f"{host} answered {answer.status}{followed}")


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to an address that was checked, whatever the name resolves to now."""

    def __init__(self, host: str, port: int, *, address: str, secure: bool) -> None:
        super().__init__(host, port, timeout=DEADLINE_S)
        self._address = address
        self._secure = secure

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), DEADLINE_S)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End the exchange from another thread; whatever it waits for fails at once."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # it ended by itself
                return


def checked_url(url: str, *, loopback_allowed: bool) -> SplitResult:
    """Take an address apart that notices may be posted to.

    Args:
        url: as an operator wrote it.
        loopback_allowed: http is allowed too.
    Returns:
        its parts.
    Raises:
        NotifyError: another scheme, no host, a user or password in it, or no port number.
    """
    allowed = ("https", "http") if loopback_allowed else ("https",)
    try:
        parts = urlsplit(url)
        port = _port(parts)
    except ValueError as error:
        raise NotifyError(f"{url!r} is no address: {error}", hint="write https://host/path") from error
    if parts.scheme not in allowed or not parts.hostname or port == 0:
        raise NotifyError(f"{url!r} is no address of a web hook", hint=f"write {allowed[0]}://host/path")
    if parts.username is not None or parts.password is not None:
        raise NotifyError(
            f"the address of {parts.hostname} holds a user or password", hint="notices are signed instead"
        )
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise NotifyError(f"{url!r} holds spaces or control characters", hint="write them as %20 and the like")
    return parts


def refusal(address: str, *, loopback_allowed: bool) -> str:
    """Say why nothing may be posted to an address.

    Args:
        address: IPv4 or IPv6, as text.
        loopback_allowed: 127.0.0.0/8 and ::1 may be posted to.
    Returns:
        why not; empty when it may.
    """
    try:
        outer = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    for inner in _meant(outer):
        if inner.is_loopback and loopback_allowed:
            continue
        if inner.is_loopback:
            return "loopback"
        if inner.is_link_local:
            return "link-local, where clouds keep their metadata"
        if inner.is_multicast or not inner.is_global:
            return "not public"
    return ""


def _meant(address: Address) -> list[Address]:
    """The address, and those that it stands for: IPv4 inside IPv6 in its four ways. The mapped form is the IPv4 itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    meant: list[Address] = [address]
    if address.sixtofour is not None:
        meant.append(address.sixtofour)
    if address.teredo is not None:
        meant += address.teredo
    if address in NAT64:
        meant.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return meant


def key_of(secret: str) -> bytes:
    """Read the secret that signatures are made with.

    Args:
        secret: ``whsec_`` and base64.
    Returns:
        its 24 to 64 bytes.
    Raises:
        NotifyError: another form.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise NotifyError(
            "the secret of the web hook has another form", hint="write whsec_ and the base64 of 24 to 64 random bytes"
        )
    return key


def signature(key: bytes, notice_id: str, *, at_s: int, payload: bytes) -> str:
    """Sign a delivery (standardwebhooks.com, version 1: HMAC-SHA256 over id, time and payload, joined by dots).

    Args:
        key: as `key_of` reads it.
        notice_id: of the notice.
        at_s: time of this delivery, UTC seconds.
        payload: the bytes that are sent.
    Returns:
        ``v1,`` and base64.
    """
    digest = hmac.digest(key, b".".join((notice_id.encode(), str(at_s).encode(), payload)), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _port(parts: SplitResult) -> int:
    return parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)


def _system_resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
