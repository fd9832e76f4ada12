"""Addresses on the web that strangers may have typed: taken apart, and asked only where that cannot explore a private network."""

import ipaddress
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from studio.common.text import printable
from studio.errors import StudioError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
ADDRESS_HINT = "Give the address of a file on the web, such as https://example.org/model.pkl."


def private_ok() -> bool:
    """Whether addresses of this machine and its network may be asked; not where visitors could use that to explore the network.

    The environment variable STUDIO_PRIVATE_URLS says so (1 or 0). Unset, they may: the studio then serves this machine only.
    """
    return os.environ.get("STUDIO_PRIVATE_URLS", "1").strip().lower() not in ("0", "no", "false", "off")


def public_url(url: str) -> str:
    """An address without the parts that may be secret (user, password, query), safe to show and store."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


@dataclass(frozen=True)
class WebAddress:
    """An address of a file on the web, taken apart.  port: 80 or 443 where none is given."""

    url: str
    scheme: str
    host: str
    port: int


def web_address(url: str) -> WebAddress:
    """The parts of an address. Raises StudioError if it is not one of a file on the web."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        if host is not None:
            host.encode("idna")
    except (ValueError, UnicodeError):
        raise StudioError(f"'{printable(url, 120)}' is not the address of a file.", ADDRESS_HINT) from None
    if scheme not in ("http", "https"):
        raise StudioError(f"'{printable(scheme, 20)}' addresses are not followed, only http and https.", ADDRESS_HINT)
    if not host or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise StudioError(f"'{printable(url, 120)}' is not the address of a file.", ADDRESS_HINT)
    return WebAddress(url, scheme, host, port or (443 if scheme == "https" else 80))


def is_public(address: str) -> bool:
    """Whether an IP address is public, also if it is an IPv4 address embedded in an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def public_address(target: WebAddress) -> str:
    """An IP address of the host, all of whose addresses must be public. Raises StudioError."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise unreachable(target) from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise StudioError(
            f"{printable(target.host, 80)} is an address in a private network, which this studio doesn't ask.",
            "Download the file yourself, then add it here.",
        )
    return addresses[0]


def unreachable(target: WebAddress) -> StudioError:
    """The error of a host that gives no answer."""
    return StudioError(
        f"{printable(target.host, 80)} cannot be reached.", "Check the address and the connection to the internet, then try again."
    )
