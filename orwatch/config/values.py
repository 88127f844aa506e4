"""The texts of settings, read. Each reader gets the text and the name to blame; raises ``SettingsError``."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

from orwatch.config.database_url import is_postgres, parse_postgres
from orwatch.config.env_file import expanded_path
from orwatch.domain.alerts.alert import Rule, read_percents
from orwatch.errors import SettingsError
from orwatch.redaction import keep_address, keep_password, keep_secret
from orwatch.text import nearest

DEFAULT_API_URL = "https://openrouter.ai/api/v1"


def whole_number(least: int, most: int) -> Callable[[str, str], int]:
    """A reader of whole numbers within these bounds."""

    def read(text: str, name: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise SettingsError(f"{name}={text!r} is not a whole number from {least} to {most}.")
        return value

    return read


def one_of(*choices: str) -> Callable[[str, str], str]:
    """A reader of one of these words, in capitals or not."""
    known = {choice.lower(): choice for choice in choices}

    def read(text: str, name: str) -> str:
        if text.lower() not in known:
            raise SettingsError(f"{name}={text!r} is not one of {', '.join(choices)}.")
        return known[text.lower()]

    return read


def absolute_path(text: str, name: str) -> Path:
    """The path of a file, which may begin with ``~``."""
    path = expanded_path(name, text)
    if not path.is_absolute():
        raise SettingsError(f"{name}={text!r} is not an absolute path", "Cron runs in another folder.")
    return path


def encryption_keys(text: str, _name: str) -> tuple[str, ...]:
    """The keys between the commas."""
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    for key in keys:
        keep_secret(key)
    return keys


def database_url(text: str, name: str) -> str:
    """The address of a database. No error shows a password."""
    scheme, separator, path = text.partition(":///")
    if scheme == "sqlite" and separator and path.startswith("/") and "?" not in path:
        return text
    if text.startswith("/") and not set("@:") & set(text):
        raise SettingsError(f"{name}={text!r} is a path and not an address", f"Write sqlite:///{text}.")
    if text.startswith("sqlite:") and "@" not in text:
        raise SettingsError(
            f"{name}={text!r} does not name a file by its absolute path",
            "Write sqlite:////var/lib/orwatch/orwatch.db, with four slashes.",
        )
    # The value may hold a password: only its scheme is shown.
    if is_postgres(text):
        try:
            address = parse_postgres(text)
        except ValueError as error:
            raise SettingsError(
                f"{name} cannot be used: {error}",
                "Write postgresql+psycopg://user:password@host:5432/database; in the password %40 for @, "
                "%2F for /, %3F for ?, %23 for #, %25 for %, %5B and %5D for [ and ], and %20 for a blank.",
            ) from None
        # Also as the address writes it, with %40 for @.
        for password in (address.password, urlsplit(text).password, dict(address.options).get("password")):
            keep_password(password)
        return text
    wrong = f"begins with {text.split(':', 1)[0]!r}" if ":" in text else "is not an address"
    raise SettingsError(
        f"{name} {wrong if text else 'is empty'}",
        "Use SQLite, sqlite:////var/lib/orwatch/orwatch.db for example, or PostgreSQL, "
        "postgresql+psycopg://user:password@host:5432/database.",
    )


def api_url(text: str, name: str) -> str:
    """The address of the API, without a slash at its end."""
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    is_clean = text.isprintable() and not set(text) & set(" \\")
    if not port_is_valid or not is_clean or parts.scheme not in {"http", "https"} or not parts.hostname:
        # What has a user name may have a password.
        shown = repr(text) if "@" not in text else "…"
        raise SettingsError(f"{name}={shown} is not an address like {DEFAULT_API_URL}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            f"{name} has a user name, a query or a fragment in it", f"Write it like {DEFAULT_API_URL}."
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(
            f"{name}={text!r} would send your keys unencrypted",
            "Use https://; http:// is for addresses of this machine only.",
        )
    return text.rstrip("/")


def heartbeat_url(text: str, name: str) -> str:
    """An address with ``{job}`` in it or not. No error shows it: it is a secret."""
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
    except ValueError:
        is_usable = False
    if not is_usable or not text.isprintable() or set(text) & set(" \\"):
        raise SettingsError(
            f"{name} is not an address like https://hc-ping.com/UUID or "
            "https://hc-ping.com/PING-KEY/orwatch-{job}."
        )
    if set(text.replace("{job}", "")) & set("{}"):
        raise SettingsError(
            f"{name} has braces in it that are not {{job}}", "Write other ones as %7B and %7D."
        )
    keep_address(text)
    return text.rstrip("/")


def rules(text: str, name: str) -> frozenset[Rule]:
    """The names of rules between the commas."""
    known = {rule.value: rule for rule in Rule}
    words = [word for part in text.split(",") if (word := part.strip().lower())]
    for word in words:
        if word not in known:
            near = nearest(word, known)
            advice = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise SettingsError(f"{name} has {word!r} in it, which is no rule", advice)
    return frozenset(known[word] for word in words)


def percents(text: str, name: str) -> tuple[int, ...]:
    """The whole numbers from 1 to 1,000 between the commas, rising."""
    found = read_percents(text)
    if found is None:
        raise SettingsError(f"{name}={text!r} is not like 80,100: whole numbers of percent from 1 to 1000.")
    return found


def positive_usd(text: str, name: str) -> Decimal:
    """An amount in dollars, above zero and below a billion."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or not 0 < amount < 10**9:
        raise SettingsError(f"{name}={text!r} is not an amount in dollars, like 5 or 12.50.")
    return amount


def is_loopback(hostname: str) -> bool:
    """Whether the name or address is this machine's own loopback."""
    import ipaddress

    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False
