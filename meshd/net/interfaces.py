"""The network interfaces of this machine, and at which of their addresses others may find it."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import ifaddr

_BRIDGES = ("docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "vEthernet", "lxc", "podman", "cni")
"""Networks inside this machine. Other machines that try their addresses end up in a network of their own."""


@dataclass(frozen=True, slots=True, order=True)
class Interface:
    """One address of one interface."""

    name: str
    address: str
    """Without a zone: each machine numbers its interfaces for itself."""


def list_interfaces() -> frozenset[Interface]:
    """Return every address of this machine. Asks the system; run it in a thread."""
    return frozenset(
        Interface(adapter.nice_name or adapter.name, ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    )


def announced_addresses(interfaces: Iterable[Interface]) -> list[str]:
    """Return the addresses to tell others, best first; loopback only on a machine that has nothing else."""
    ranked = sorted((_rank(interface), interface.address) for interface in interfaces)
    outside = [address for rank, address in ranked if rank < _LOOPBACK]
    return list(dict.fromkeys(outside or [address for _, address in ranked]))


_LOOPBACK = 90


def _rank(interface: Interface) -> int:
    """Return how likely this address is the one to use, lowest first."""
    address = ipaddress.ip_address(interface.address)
    if address.is_loopback:
        return _LOOPBACK
    rank = 0 if isinstance(address, ipaddress.IPv4Address) else 2
    if address.is_link_local:
        rank += 10
    if interface.name.startswith(_BRIDGES):
        rank += 20
    return rank
