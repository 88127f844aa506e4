"""Which proxy of the environment a request goes through, and which hosts go without one."""

from __future__ import annotations

import ipaddress
import re
import ssl
from urllib.request import getproxies

import httpx

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: httpx.URL, certificates: ssl.SSLContext) -> httpx.Proxy | None:
    """The proxy that the environment names for this address, if it names one.

    Raises ``ValueError`` and ``httpx.InvalidURL`` for one that is no address.
    """
    found = getproxies()
    proxy = found.get(url.scheme) or found.get("all")
    if not proxy:
        return None
    port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    if any(
        _is_meant(entry, url.host.rstrip("."), port) for entry in re.split(r"[\s,]+", found.get("no", ""))
    ):
        return None
    address = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    return httpx.Proxy(address, ssl_context=certificates if address.scheme == "https" else None)


def _is_meant(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``NO_PROXY`` is about this host; one that cannot be understood is about none.

    It is ``*``, a name (with ``.`` or ``*.`` before it or not), an address or a network; it may have a port.
    """
    if entry == "*":
        return True
    entry = entry.lower().rpartition("://")[2]
    if entry.count(":") == 1 or "]:" in entry:
        entry, _, wanted_port = entry.rpartition(":")
        if wanted_port != str(port):
            return False
    try:
        network = ipaddress.ip_network(re.sub(r"[\[\]]", "", entry), strict=False)
    except ValueError:
        name = entry.lstrip("*.").rstrip(".")
        return bool(name) and f".{host}".endswith(f".{name}")
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:  # a name
        return False
