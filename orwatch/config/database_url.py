"""Addresses of databases, as ORWATCH_DATABASE_URL gives them: taken apart, and shown without the password."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

POSTGRES_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")
_DEFAULT_PORT = 5432
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a PostgreSQL database is and who enters it; as text it is an address without the password.

    ``options`` are further words to the driver, such as ``sslmode``; ``host`` among them may be the folder of
    a Unix socket.
    """

    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        user = f"{quote(self.user)}@" if self.user else ""
        socket = dict(self.options).get("host")
        if self.host is None:
            folder = f"?host={socket}" if socket else ""
            return f"postgresql://{user}/{quote(self.database)}{folder}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{user}{host}:{self.port or _DEFAULT_PORT}/{quote(self.database)}"


def is_postgres(url: str) -> bool:
    """Whether the address is one of PostgreSQL."""
    return url.partition("://")[0] in POSTGRES_SCHEMES


def parse_postgres(url: str) -> PostgresAddress:
    """Take an address apart. Raises ``ValueError``, which says what is wrong and shows no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or its port cannot be read") from None
    user_and_password, _, _ = parts.netloc.rpartition("@")
    # One of these in a password ends it too early: what follows would be taken for a host and be shown.
    if "@" in user_and_password or "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        raise ValueError("it has more than one @, or a #")
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise ValueError("it names no database after the host")
    if not url.isprintable() or " " in url:
        raise ValueError("it holds a blank or an unprintable character")
    return PostgresAddress(
        database,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        parts.hostname,
        port,
        tuple(parse_qsl(parts.query, keep_blank_values=True)),
    )


def sqlite_path(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(url.removeprefix(_SQLITE))


def describe(url: str) -> str:
    """The database in a message: the file, or the address without the password."""
    return str(parse_postgres(url)) if is_postgres(url) else str(sqlite_path(url))


def without_password(url: str) -> str:
    """The address as it was written, with the word PASSWORD in the place of one."""
    if not is_postgres(url):
        return url
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    user_and_password, at, place = address.rpartition("@")
    user, colon, _password = user_and_password.partition(":")
    options = [
        f"{name}=PASSWORD" if "password" in name else f"{name}{equals}{value}"
        for name, equals, value in (option.partition("=") for option in query.split("&"))
    ]
    return f"{scheme}://{user}{':PASSWORD' if colon else ''}{at}{place}{mark}{'&'.join(options)}"
