"""Settings: command-line option > environment > env file > default. Reads files, writes only the env file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orwatch.config.database_url import is_postgres, parse_postgres
from orwatch.config.env_file import base_folder, expanded_path, find_env_file, read_env_file
from orwatch.domain.sources import UsageSource
from orwatch.errors import SettingsError, UsageError

PREFIX = "ORWATCH_"
DEFAULT_API_URL = "https://openrouter.ai/api/v1"
MAX_RETENTION_DAYS = 36_500
MAX_SYNC_DAYS = 365  # also how far a sync reaches back by itself: the API keeps no more
MAX_JOB_TIMEOUT_MINUTES = 7 * 24 * 60
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS = ("text", "json")
AUTO = "auto"
SOURCE_CHOICES = (AUTO, *UsageSource)

# Every setting, with what it does: the README's table and the nearest-name hint are held to this list.
SETTING_NAMES: Mapping[str, str] = {
    "ORWATCH_ENV_FILE": "the env file to read",
    "ORWATCH_DATABASE_URL": "the database",
    "ORWATCH_ENCRYPTION_KEY": "the Fernet keys that the secrets are encrypted with, newest first",
    "ORWATCH_OPENROUTER_API_URL": "the API",
    "ORWATCH_USAGE_SOURCE": "where usage comes from",
    "ORWATCH_USAGE_STATS_RETENTION_DAYS": "days that cleanup keeps",
    "ORWATCH_SYNC_DAYS": "days that sync asks for",
    "ORWATCH_RATE_LIMIT_PER_MINUTE": "requests that may start within 60 seconds, 0 for no limit",
    "ORWATCH_CONCURRENCY": "requests under way at once",
    "ORWATCH_JOB_TIMEOUT": "minutes after which a run is ended, 0 for no limit",
    "ORWATCH_HEARTBEAT_URL": "where runs are reported to",
    "ORWATCH_LOG_LEVEL": "what is logged",
    "ORWATCH_LOG_FILE": "where it is logged",
    "ORWATCH_LOG_FORMAT": "how it is logged",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Secrets are left out of the ``repr``.

    ``env_file`` is the file that was read, or the one that would be written when there is none yet.
    ``unknown_names`` pairs each unknown ``ORWATCH_`` name with the nearest known one, or None.
    """

    database_url: str = field(repr=False)
    encryption_keys: tuple[str, ...] = field(repr=False)
    encryption_keys_from_environment: bool
    api_url: str
    usage_source: UsageSource | None
    retention_days: int
    sync_days: int
    rate_limit_per_minute: int
    concurrency: int
    job_timeout_minutes: int
    heartbeat_url: str | None = field(repr=False)
    log_level: str | None
    log_file: Path | None
    log_format: str
    env_file: Path
    unknown_names: tuple[tuple[str, str | None], ...] = ()


def load_settings(environ: Mapping[str, str], env_file_option: str | None = None) -> Settings:
    """Read the settings.

    Raises ``SettingsError`` naming the setting, its value (never a secret's) and what would be right.
    """
    env_file = find_env_file(environ, env_file_option)
    from_file = read_env_file(env_file)
    # An empty value is an unset one: it hides nothing of the file, least of all the encryption key.
    from_environment = {
        name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()
    }
    values = {**from_file, **from_environment}
    known = {name: value.strip() for name, value in values.items() if name in SETTING_NAMES}
    unknown = [name for name in sorted(values) if name.startswith(PREFIX) and name not in SETTING_NAMES]
    try:
        return _to_settings(known, unknown, env_file, environ)
    except SettingsError as error:
        message = str(error)
        name = next((name for name in SETTING_NAMES if message.startswith(name)), None)
        if name is None or name not in from_file or name in from_environment:
            raise
        raise SettingsError(f"{message} It stands in {env_file}.") from None


def _to_settings(
    known: Mapping[str, str], unknown: Sequence[str], env_file: Path, environ: Mapping[str, str]
) -> Settings:
    level = known.get("ORWATCH_LOG_LEVEL") or None
    log_file = known.get("ORWATCH_LOG_FILE") or None
    return Settings(
        database_url=_database_url(known.get("ORWATCH_DATABASE_URL") or None, environ),
        encryption_keys=tuple(
            part.strip() for part in known.get("ORWATCH_ENCRYPTION_KEY", "").split(",") if part.strip()
        ),
        encryption_keys_from_environment=bool(environ.get("ORWATCH_ENCRYPTION_KEY", "").strip()),
        api_url=_api_url(known.get("ORWATCH_OPENROUTER_API_URL") or DEFAULT_API_URL),
        usage_source=_usage_source(known.get("ORWATCH_USAGE_SOURCE") or AUTO),
        retention_days=_integer(known, "ORWATCH_USAGE_STATS_RETENTION_DAYS", 365, 1, MAX_RETENTION_DAYS),
        sync_days=_integer(known, "ORWATCH_SYNC_DAYS", 7, 1, MAX_SYNC_DAYS),
        rate_limit_per_minute=_integer(known, "ORWATCH_RATE_LIMIT_PER_MINUTE", 20, 0, 100_000),
        concurrency=_integer(known, "ORWATCH_CONCURRENCY", 8, 1, 64),
        job_timeout_minutes=_integer(known, "ORWATCH_JOB_TIMEOUT", 50, 0, MAX_JOB_TIMEOUT_MINUTES),
        heartbeat_url=check_heartbeat_url(known.get("ORWATCH_HEARTBEAT_URL") or None),
        log_level=_choice("ORWATCH_LOG_LEVEL", level.upper(), LOG_LEVELS) if level else None,
        log_file=_absolute("ORWATCH_LOG_FILE", log_file) if log_file else None,
        log_format=_choice(
            "ORWATCH_LOG_FORMAT", (known.get("ORWATCH_LOG_FORMAT") or "text").lower(), LOG_FORMATS
        ),
        env_file=env_file,
        unknown_names=tuple((name, _nearest_name(name)) for name in unknown),
    )


def _usage_source(value: str) -> UsageSource | None:
    choice = _choice("ORWATCH_USAGE_SOURCE", value.lower(), SOURCE_CHOICES)
    return None if choice == AUTO else UsageSource(choice)


def _nearest_name(name: str) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, SETTING_NAMES, n=1)), None)


def _integer(known: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = known.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise SettingsError(f"{name}={text!r} is not a whole number from {least} to {most}.")
    return value


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise SettingsError(f"{name}={value!r} is not one of {', '.join(choices)}.")
    return value


def _absolute(name: str, value: str) -> Path:
    path = expanded_path(name, value)
    if not path.is_absolute():
        raise SettingsError(f"{name}={value!r} is not an absolute path; cron's folder is not yours.")
    return path


def check_database_url(value: str, name: str) -> str:
    """The address of a database that an option gives. Raises ``UsageError``, which shows no password."""
    try:
        return _database_url(value.strip(), {})
    except SettingsError as error:
        raise UsageError(str(error).replace("ORWATCH_DATABASE_URL", name)) from None


def _database_url(value: str | None, environ: Mapping[str, str]) -> str:
    if value is None:
        return f"sqlite:///{base_folder(environ, 'XDG_DATA_HOME', '.local/share')}/orwatch/orwatch.db"
    scheme, separator, path = value.partition(":///")
    if scheme == "sqlite" and separator and path.startswith("/") and "?" not in path:
        return value
    if value.startswith("/") and not set("@:") & set(value):
        raise SettingsError(
            f"ORWATCH_DATABASE_URL={value!r} is a path and not an address: write sqlite:///{value}."
        )
    if value.startswith("sqlite:") and "@" not in value:
        raise SettingsError(
            f"ORWATCH_DATABASE_URL={value!r} does not name a file by its absolute path: "
            "write sqlite:////var/lib/orwatch/orwatch.db, with four slashes."
        )
    # The value may hold a password: only its scheme is shown.
    if is_postgres(value):
        try:
            parse_postgres(value)
        except ValueError as error:
            raise SettingsError(
                f"ORWATCH_DATABASE_URL cannot be used: {error}. Write "
                "postgresql+psycopg://user:password@host:5432/database; in the password %40 for @, "
                "%2F for /, %3F for ?, %23 for #, %25 for %, %5B and %5D for [ and ], and %20 for a blank."
            ) from None
        return value
    wrong = f"with {value.split(':', 1)[0]!r}" if ":" in value else "is not an address"
    raise SettingsError(
        f"ORWATCH_DATABASE_URL {wrong if value else 'is empty'}: orwatch keeps its data in SQLite, "
        "sqlite:////var/lib/orwatch/orwatch.db for example, or in PostgreSQL, "
        "postgresql+psycopg://user:password@host:5432/database."
    )


def _api_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    is_clean = value.isprintable() and not set(value) & set(" \\")
    if not port_is_valid or not is_clean or parts.scheme not in {"http", "https"} or not parts.hostname:
        # What has a user name may have a password.
        shown = repr(value) if "@" not in value else "…"
        raise SettingsError(f"ORWATCH_OPENROUTER_API_URL={shown} is not an address like {DEFAULT_API_URL}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            "ORWATCH_OPENROUTER_API_URL holds a user name, a query or a fragment; "
            f"it should look like {DEFAULT_API_URL}."
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(
            f"ORWATCH_OPENROUTER_API_URL={value!r} would send your keys unencrypted: use https://. "
            "http:// is for addresses of this machine only."
        )
    return value.rstrip("/")


def check_heartbeat_url(value: str | None) -> str | None:
    """The address, with ``{job}`` in it or not. Raises ``SettingsError``, which does not show the secret."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
    except ValueError:
        is_usable = False
    if not is_usable or not value.isprintable() or set(value) & set(" \\"):
        raise SettingsError(
            "ORWATCH_HEARTBEAT_URL is not an address like https://hc-ping.com/UUID or "
            "https://hc-ping.com/PING-KEY/orwatch-{job}."
        )
    if set(value.replace("{job}", "")) & set("{}"):
        raise SettingsError(
            "ORWATCH_HEARTBEAT_URL has braces in it that are not {job}: that is all that is replaced; "
            "write { as %7B and } as %7D."
        )
    return value.rstrip("/")


def is_loopback(hostname: str) -> bool:
    """Whether the name or address is this machine's own loopback."""
    import ipaddress

    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False
