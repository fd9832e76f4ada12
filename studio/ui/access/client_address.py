"""Addresses of whoever sends requests, also behind a proxy."""

import ipaddress

from studio.ui.access.refusal import headers_of

_LOOPBACK = ("127.0.0.1", "::1")


def address_of(scope: dict, behind_any_proxy: bool = False) -> str:
    """Where a request comes from; '' = not known. A network of IPv6 that one customer has (/64) counts as one address.

    Behind a proxy on this machine it is what the proxy says.  behind_any_proxy: also behind one in a private network, as hosts of
    Spaces have; people of that network could then claim other addresses, so this is for bounds on strangers alone, not for passwords.
    """
    client = (scope.get("client") or ("", 0))[0]
    said = headers_of(scope).get("x-forwarded-for", "").rpartition(",")[2].strip()
    if said and (client in _LOOPBACK or (behind_any_proxy and _is_private(client))):
        client = said
    try:
        number = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(number, ipaddress.IPv6Address):
        return str(number.ipv4_mapped or ipaddress.ip_network((number, 64), strict=False))
    return str(number)


def _is_private(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_private
    except ValueError:
        return False
