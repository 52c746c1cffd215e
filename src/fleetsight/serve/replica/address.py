"""Where a replica listens: ``unix:/run/x.sock`` or ``tcp:host:port``."""

import socket
from dataclasses import dataclass
from pathlib import Path

from fleetsight.errors import Error

BACKLOG = 16


class AddressError(Error):
    """An address that cannot be used."""

    code = "serve_address"


@dataclass(frozen=True)
class Address:
    """Of a replica.

    Attributes:
        path: of the Unix socket; empty for TCP.
        host: for TCP.
        port: for TCP.
    """

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """Read an address.

    Args:
        text: as above.
    Returns:
        the address.

    Raises:
        AddressError: it is none.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Address(path=rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdecimal() and int(port) < 65536:
        return Address(host=host.strip("[]"), port=int(port))
    raise AddressError(f"{text!r} is no address", hint="write unix:/path/to.sock or tcp:host:port")


def listen(address: Address) -> socket.socket:
    """Open a listening socket.

    Args:
        address: a Unix path is taken over from a process that died.
    Returns:
        the socket.

    Raises:
        AddressError: it cannot be opened.
    """
    try:
        if address.path:
            Path(address.path).unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(address.path)
            Path(address.path).chmod(0o600)
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address.host, address.port))
        listening.listen(BACKLOG)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}", hint="choose another address") from error
    listening.setblocking(False)
    return listening
