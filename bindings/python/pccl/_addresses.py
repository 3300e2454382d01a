"""Addresses as PCCL 1.0 programs spell them: "host:port", "[v6]:port", where the host may be a name."""

from __future__ import annotations

import ipaddress
import socket

from . import _declarations as d


def split(text: str) -> tuple[str, int]:
    """Host and port. "::1" without brackets needs them to have a port: ValueError says so."""
    if "://" in text:
        raise ValueError(f"'{text}': an address is HOST:PORT, without a scheme")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"'{text}' is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(f"'{text}': an IPv6 address stands in brackets: [{host}]:{port}")
    return host, int(port)


def _zone_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Without which it means nothing. PCCL 1.0's addresses have no room for it."""
    return address.scope_id if isinstance(address, ipaddress.IPv6Address) and address.is_link_local else None


def to_c(host: str, port: int) -> d.ccoip_socket_address_t:
    """A number, or a name that is resolved now."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ValueError(f"the host '{host}' is not known: {error}") from None
        addresses = [ipaddress.ip_address(each[4][0]) for each in found]
        if all(each.is_loopback for each in addresses):
            addresses.sort(key=lambda each: each.version)  # localhost is often ::1 first, where fewer listen
        address = min(addresses, key=lambda each: _zone_of(each) is not None)  # the first one without
    if _zone_of(address) is not None:
        raise ValueError(f"[{address}]:{port} has a zone, %{_zone_of(address)}, which can't be given here: only "
                         "Settings(masters=...) and PCCL_MASTERS can say that a master is there")
    made = d.ccoip_socket_address_t(port=port)
    made.inet.protocol = d.inetIPv4 if address.version == 4 else d.inetIPv6
    (made.inet.ipv4 if address.version == 4 else made.inet.ipv6).data[:] = list(address.packed)
    return made
