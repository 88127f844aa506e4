"""Settings: command-line option > environment > env file > default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from orwatch.config import elsewhere, notify, values
from orwatch.config.env_file import EnvLine, base_folder, find_env_file, read_env_file
from orwatch.domain.alerts.alert import Rule
from orwatch.domain.sources import UsageSource
from orwatch.errors import SettingsError, UsageError, WrongSettingsError
from orwatch.text import nearest

PREFIX = "ORWATCH_"
MAX_RETENTION_DAYS = 36_500
MAX_SYNC_DAYS = 365  # also how far a sync reaches back by itself: the API keeps no more
AUTO = "auto"
SOURCE_CHOICES = (AUTO, *UsageSource)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Secrets are left out of the ``repr``.

    ``env_file`` is the file that was read, or the one that would be written when there is none yet.
    ``encryption_keys_elsewhere``: the setting that gives the encryption keys where they are not in that file.
    ``unknown_names`` pairs each unknown ``ORWATCH_`` name of the environment with the nearest known one, or
    None; in the env file such a name is an error.
    """

    database_url: str = field(repr=False)
    encryption_keys: tuple[str, ...] = field(repr=False)
    encryption_keys_elsewhere: str | None
    api_url: str
    usage_source: UsageSource | None
    retention_days: int
    sync_days: int
    rate_limit_per_minute: int
    concurrency: int
    job_timeout_minutes: int
    refusal_wait_seconds: int
    heartbeat_url: str | None = field(repr=False)
    alerts_off: frozenset[Rule]
    limit_warn_percent: tuple[int, ...]
    balance_warn_usd: Decimal | None
    notify_urls: tuple[str, ...] = field(repr=False)
    on_alert: tuple[str, ...] = field(repr=False)
    log_level: str | None
    log_file: Path | None
    log_format: str
    env_file: Path
    unknown_names: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. ``field``: the one of ``Settings``. ``help``: what it does, as the README says it.

    ``read`` makes the value of a text, or raises ``SettingsError``. ``default``: the text that counts where
    there is none; ``unset``: the value where there is no such text. ``default_help``: what the README says
    of the default that is no text. ``bounds``: of a number. ``fetch`` gets the value from a file or a
    command: the setting stands for the one of the same field.
    """

    name: str
    field: str
    help: str
    read: Callable[[str, str], object]
    default: str | None = None
    default_help: str = ""
    unset: object = None
    bounds: tuple[int, int] | None = None
    fetch: Callable[[str, str], str] | None = None


def _number(name: str, field: str, help: str, default: int, least: int, most: int) -> Setting:
    read = values.whole_number(least, most)
    return Setting(name, field, help, read, str(default), bounds=(least, most))


def _elsewhere(
    name: str, field: str, read: Callable[[str, str], object], what: str, *, is_whole: bool = False
) -> tuple[Setting, Setting]:
    """The same in a file, or printed by a command: the first line of it, or all where it ``is_whole``."""
    file = elsewhere.whole_file if is_whole else elsewhere.file_content
    command = elsewhere.whole_output if is_whole else elsewhere.command_output
    printed = f"a command that prints {what if is_whole else 'it'}"
    return (
        Setting(f"{name}_FILE", field, f"a file with {what}", read, fetch=file),
        Setting(f"{name}_COMMAND", field, printed, read, fetch=command),
    )


def _usage_source(text: str, name: str) -> UsageSource | None:
    choice = values.one_of(*SOURCE_CHOICES)(text, name)
    return None if choice == AUTO else UsageSource(choice)


# The README's table and the hint at the nearest name come from here as well.
SETTINGS = (
    Setting("ORWATCH_ENV_FILE", "env_file", "the env file to read (environment only)", lambda text, _: text),
    Setting(
        "ORWATCH_DATABASE_URL",
        "database_url",
        "`sqlite:////path/file.db` or `postgresql+psycopg://…`",
        values.database_url,
        default_help="SQLite",
    ),
    *_elsewhere("ORWATCH_DATABASE_URL", "database_url", values.database_url, "that address"),
    Setting(
        "ORWATCH_ENCRYPTION_KEY",
        "encryption_keys",
        "encrypts stored keys; several: newest first",
        values.encryption_keys,
        default_help="made on first use",
        unset=(),
    ),
    *_elsewhere("ORWATCH_ENCRYPTION_KEY", "encryption_keys", values.encryption_keys, "that key"),
    Setting("ORWATCH_OPENROUTER_API_URL", "api_url", "the API", values.api_url, values.DEFAULT_API_URL),
    Setting(
        "ORWATCH_USAGE_SOURCE",
        "usage_source",
        "`usage`, `counters`, `activity`, `analytics`; or the best",
        _usage_source,
        AUTO,
    ),
    _number(
        "ORWATCH_USAGE_STATS_RETENTION_DAYS",
        "retention_days",
        "days that `cleanup` keeps",
        365,
        1,
        MAX_RETENTION_DAYS,
    ),
    _number(
        "ORWATCH_SYNC_DAYS", "sync_days", "days that `sync` asks for, today included", 7, 1, MAX_SYNC_DAYS
    ),
    _number(
        "ORWATCH_RATE_LIMIT_PER_MINUTE",
        "rate_limit_per_minute",
        "requests in any 60 seconds; 0: no limit",
        20,
        0,
        100_000,
    ),
    _number("ORWATCH_CONCURRENCY", "concurrency", "requests at once", 8, 1, 64),
    _number(
        "ORWATCH_JOB_TIMEOUT",
        "job_timeout_minutes",
        "minutes after which a run is ended; 0: no limit",
        50,
        0,
        7 * 24 * 60,
    ),
    _number(
        "ORWATCH_REFUSAL_WAIT_SECONDS",
        "refusal_wait_seconds",
        "seconds until a refusal is checked once more",
        30,
        0,
        600,
    ),
    Setting(
        "ORWATCH_HEARTBEAT_URL",
        "heartbeat_url",
        "where each run is reported to, see `orwatch help heartbeat`",
        values.heartbeat_url,
    ),
    Setting("ORWATCH_ALERTS_OFF", "alerts_off", "rules that raise no alert", values.rules, unset=frozenset()),
    Setting(
        "ORWATCH_LIMIT_WARN",
        "limit_warn_percent",
        "percents of a limit that raise an alert",
        values.percents,
        "80,100",
    ),
    Setting(
        "ORWATCH_BALANCE_WARN",
        "balance_warn_usd",
        "a balance below it raises an alert, in dollars",
        values.positive_usd,
    ),
    Setting(
        "ORWATCH_NOTIFY_URLS",
        "notify_urls",
        "where alerts go, see `orwatch help notify`",
        notify.notify_urls,
        unset=(),
    ),
    *_elsewhere("ORWATCH_NOTIFY_URLS", "notify_urls", notify.notify_urls, "them", is_whole=True),
    Setting("ORWATCH_ON_ALERT", "on_alert", "a command that gets each alert", notify.command_words, unset=()),
    Setting(
        "ORWATCH_LOG_LEVEL",
        "log_level",
        "`DEBUG`, `INFO`, `WARNING` or `ERROR`",
        values.one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Setting(
        "ORWATCH_LOG_FILE",
        "log_file",
        "an absolute path",
        values.absolute_path,
        default_help="standard error",
    ),
    Setting(
        "ORWATCH_LOG_FORMAT",
        "log_format",
        "`text`, or `json` for one object a line",
        values.one_of("text", "json"),
        "text",
    ),
)
SETTING_NAMES = tuple(setting.name for setting in SETTINGS)


def load_settings(environ: Mapping[str, str], env_file_option: str | None = None) -> Settings:
    """Read the settings.

    Raises ``SettingsError`` naming each wrong setting, its value (never a secret's) and what would be right,
    and each line of the env file that is none.
    """
    settings, wrong = examine_settings(environ, env_file_option)
    if len(wrong) > 1:
        raise WrongSettingsError(wrong)
    if wrong:
        raise wrong[0]
    return settings


def examine_settings(
    environ: Mapping[str, str], env_file_option: str | None = None
) -> tuple[Settings, tuple[SettingsError, ...]]:
    """The settings, with the default in the place of each wrong one, and what is wrong.

    Raises ``SettingsError`` where the env file cannot be read, or a home folder is not known.
    """
    env_file = find_env_file(environ, env_file_option)
    lines = read_env_file(env_file)
    from_file = {line.name: line.value for line in lines if line.value is not None}
    # An empty value is an unset one: it hides nothing of the file, least of all the encryption key.
    from_environment = {
        name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()
    }
    places = from_environment, {name: value for name, value in from_file.items() if value.strip()}
    found: dict[str, Any] = {}
    origins: dict[str, Setting] = {}
    wrong = [*_line_errors(lines, env_file)]
    for setting in (each for each in SETTINGS if each.fetch is None):
        found[setting.field] = (
            setting.unset if setting.default is None else setting.read(setting.default, setting.name)
        )
        for place in places:
            given = [each for each in SETTINGS if each.field == setting.field and each.name in place]
            if given:
                origins[setting.field] = given[-1]
                try:
                    found[setting.field] = _value(given, place)
                except SettingsError as error:
                    shown = "" if place is from_environment else f" (set in {env_file})"
                    wrong.append(_blamed(error, given[-1], shown))
                break
    found["env_file"] = env_file  # which also an option names
    found["database_url"] = found["database_url"] or _default_database_url(environ)
    unknown = [name for name in sorted(from_environment) if name not in SETTING_NAMES]
    settings = Settings(
        **found,
        encryption_keys_elsewhere=_name_elsewhere(origins.get("encryption_keys"), from_environment),
        unknown_names=tuple((name, _nearest_name(name)) for name in unknown),
    )
    return settings, tuple(wrong)


def _value(given: Sequence[Setting], place: Mapping[str, str]) -> object:
    """What a place gives for one field, by one of several names. Raises ``SettingsError``."""
    *others, setting = given
    if others:
        raise SettingsError(f"{setting.name} and {others[0].name} are both set", "Keep one of them.")
    text = place[setting.name].strip()
    if setting.fetch is None:
        return setting.read(text, setting.name)
    value = setting.read(setting.fetch(text, setting.name), setting.name)
    if not value:
        raise SettingsError(f"{setting.name} gives no value: there is no text.")
    return value


def _name_elsewhere(origin: Setting | None, from_environment: Mapping[str, str]) -> str | None:
    if origin is None or (origin.fetch is None and origin.name not in from_environment):
        return None
    return origin.name


def _line_errors(lines: Sequence[EnvLine], env_file: Path) -> Iterator[SettingsError]:
    """What is passed over in silence could be what keeps data from being deleted.

    Neither line nor name is shown: either may be a secret that something was left out of.
    """
    numbers: dict[str, int] = {}
    for line in lines:
        if line.name in SETTING_NAMES and numbers.setdefault(line.name, line.number) != line.number:
            yield SettingsError(
                f"lines {numbers[line.name]} and {line.number} of {env_file} both set {line.name}",
                "Remove the one that is not to count.",
            )
        if line.value is None:
            yield SettingsError(
                f"line {line.number} of {env_file} is not NAME=value",
                "Write NAME=value, or begin the line with #.",
            )
        elif line.name not in SETTING_NAMES and (near := _misspelt(line.name)) is not None:
            yield SettingsError(
                f"line {line.number} of {env_file} names no setting of orwatch",
                f"Did you mean {near}?" if near else "`orwatch help settings` lists every setting.",
            )


def _misspelt(name: str) -> str | None:
    """The setting that a name of the env file may stand for, empty where none is near; None: not ours."""
    is_ours = name.upper().startswith(PREFIX)
    near = _nearest_name(name, 0.6 if is_ours else 0.9)
    return near or ("" if is_ours else None)


def _blamed(error: SettingsError, setting: Setting, place: str) -> SettingsError:
    # With a full stop where no advice follows, as in the error itself.
    end = "" if error.advice else "."
    return SettingsError(f"{error.problem}{place}{end}", error.advice, setting.name)


def _default_database_url(environ: Mapping[str, str]) -> str:
    return f"sqlite:///{base_folder(environ, 'XDG_DATA_HOME', '.local/share')}/orwatch/orwatch.db"


def _nearest_name(name: str, likeness: float = 0.6) -> str | None:
    return next(iter(nearest(name, SETTING_NAMES, likeness=likeness)), None)


def check_option(read: Callable[[str, str], str], value: str, name: str) -> str:
    """The value that an option gives. Raises ``UsageError``."""
    try:
        return read(value.strip(), name)
    except SettingsError as error:
        raise UsageError(str(error)) from None
