"""Which hosts go through the environment's proxy."""

from __future__ import annotations

import ssl

import httpx
import pytest

from orwatch.openrouter.proxies import proxy_for

PROXY = "http://proxy.example:3128"


def chosen(url: str) -> str | None:
    proxy = proxy_for(httpx.URL(url), ssl.create_default_context())
    return None if proxy is None else str(proxy.url)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HTTPS_PROXY", PROXY, PROXY),
        ("https_proxy", "proxy.example:3128", PROXY),
        ("ALL_PROXY", "https://proxy.example", "https://proxy.example"),
        ("HTTP_PROXY", PROXY, None),
        ("HTTPS_PROXY", "", None),
    ],
)
def test_the_proxy_is_the_one_for_the_scheme_or_for_all(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str | None
) -> None:
    monkeypatch.setenv(name, value)
    assert chosen("https://openrouter.example/api/v1") == expected


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("*", "https://openrouter.example"),
        ("openrouter.example", "https://openrouter.example"),
        ("OpenRouter.example.", "https://openrouter.example."),
        ("example", "https://openrouter.example"),
        (".example", "https://openrouter.example"),
        ("*.example", "https://openrouter.example"),
        ("other.example, openrouter.example", "https://openrouter.example"),
        ("openrouter.example:443", "https://openrouter.example"),
        ("https://openrouter.example", "https://openrouter.example"),
        ("openrouter.example:8443", "https://openrouter.example:8443"),
        ("10.1.2.3", "https://10.1.2.3"),
        ("10.0.0.0/8", "https://10.1.2.3"),
        ("10.1.2.3/8", "https://10.9.9.9"),
        ("fe80::7", "https://[fe80::7]"),
        ("[fe80::7]", "https://[fe80::7]"),
        ("[fe80::7]:443", "https://[fe80::7]"),
        ("fe80::/10", "https://[fe80::7]"),
        ("[fe80::]/10", "https://[fe80::7]"),
    ],
)
def test_a_host_that_no_proxy_names_is_asked_without_one(
    monkeypatch: pytest.MonkeyPatch, entry: str, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", f"[::1],{entry},")
    assert chosen(url) is None


@pytest.mark.parametrize(
    "entry",
    [
        "[::1]",
        "fe80::/10",
        "router.example",
        "openrouter.example:80",
        "10.0.0.0/99",
        ":",
        "[",
        "http://",
        ".",
    ],
)
@pytest.mark.parametrize("url", ["https://openrouter.example", "https://10.1.2.3", "https://[2001:db8::1]"])
def test_other_hosts_and_what_cannot_be_understood_change_nothing(
    monkeypatch: pytest.MonkeyPatch, entry: str, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", entry)
    assert chosen(url) == PROXY
