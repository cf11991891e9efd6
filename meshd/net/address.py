"""Addresses of devices: host:port, as people type them and as they are stored."""

import ipaddress
from dataclasses import dataclass

from meshd.errors import BadInput

DEFAULT_PORT = 62223
"""Of the peer port; the next free one is taken when something else has it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host, by name or by number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the form that `parse_address` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address in `text`: a host, with or without a port; IPv6 bare or in brackets.

    Raises:
        BadInput: it is neither.
    """
    host, port = text.strip(), str(DEFAULT_PORT)
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        port = rest.removeprefix(":") if bracket and rest else port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise BadInput(f"{text[:80]!r} is not an address", field="address", hint="write HOST or HOST:PORT")
    if ":" not in host and not all(char.isalnum() or char in "-._" for char in host):
        raise BadInput(f"{host[:80]!r} is not a host", field="address", hint="write HOST or HOST:PORT")
    return Address(host, int(port))


def format_address(host: str, port: int) -> str:
    """Return host:port; an IPv4 address that came through an IPv6 socket is written as what it is."""
    with_scope, _, scope = host.partition("%")
    try:
        number = ipaddress.ip_address(with_scope)
    except ValueError:
        return str(Address(host, port))
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        return str(Address(str(number.ipv4_mapped), port))
    return str(Address(f"{number}%{scope}" if scope else str(number), port))
