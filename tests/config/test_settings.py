"""Settings: where they come from, which values are refused, and what is never shown."""

from __future__ import annotations

import dataclasses
import stat
import traceback
from decimal import Decimal
from pathlib import Path

import pytest

from orwatch.config.env_file import create_env_file, missing_env_file
from orwatch.config.settings import SETTING_NAMES, Settings, examine_settings, load_settings
from orwatch.config.values import DEFAULT_API_URL, is_loopback
from orwatch.domain.alerts.alert import Rule
from orwatch.domain.sources import UsageSource
from orwatch.errors import EXIT_SETTINGS, SettingsError, WrongSettingsError

KEY, OTHER_KEY = "A" * 43 + "=", "B" * 43 + "="
NO_ASSIGNMENT = "line 4 of {env_file} is not NAME=value. Write NAME=value, or begin the line with #."
NO_SETTING = "line 4 of {env_file} names no setting of orwatch."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with nothing in it, which is the current folder too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_env_file(home: Path, text: str) -> Path:
    env_file = home / ".config" / "orwatch" / ".env"
    env_file.parent.mkdir(parents=True, exist_ok=True)
    env_file.write_text(text)
    return env_file


def refusal(environ: dict[str, str]) -> str:
    """The message of the ``SettingsError``."""
    with pytest.raises(SettingsError) as raised:
        load_settings(environ)
    assert raised.value.exit_code == EXIT_SETTINGS
    return str(raised.value)


# Defaults.


def test_everything_has_a_default(home: Path) -> None:
    assert load_settings({}) == Settings(
        database_url=f"sqlite:///{home}/.local/share/orwatch/orwatch.db",
        encryption_keys=(),
        encryption_keys_elsewhere=None,
        api_url=DEFAULT_API_URL,
        usage_source=None,
        retention_days=365,
        sync_days=7,
        rate_limit_per_minute=20,
        concurrency=8,
        job_timeout_minutes=50,
        refusal_wait_seconds=30,
        heartbeat_url=None,
        alerts_off=frozenset(),
        limit_warn_percent=(80, 100),
        balance_warn_usd=None,
        notify_urls=(),
        on_alert=(),
        log_level=None,
        log_file=None,
        log_format="text",
        env_file=home / ".config/orwatch/.env",
        unknown_names=(),
    )


def test_the_xdg_folders_are_used(home: Path) -> None:
    settings = load_settings({"XDG_CONFIG_HOME": "/xdg/config", "XDG_DATA_HOME": "/xdg/data"})
    assert settings.env_file == Path("/xdg/config/orwatch/.env")
    assert settings.database_url == "sqlite:////xdg/data/orwatch/orwatch.db"


@pytest.mark.parametrize("folder", ["", "relative", "./x", "~/x"])
def test_xdg_folders_that_are_not_absolute_are_ignored(folder: str) -> None:
    assert load_settings({"XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}) == load_settings({})


def test_an_unknown_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", fail)
    assert "XDG_CONFIG_HOME='~/.config': that home folder is not known" in refusal({})
    folders = {"XDG_CONFIG_HOME": "/xdg/config", "XDG_DATA_HOME": "/xdg/data"}
    assert load_settings(folders).env_file == Path("/xdg/config/orwatch/.env")


@pytest.mark.parametrize("name", ["ORWATCH_ENV_FILE", "ORWATCH_LOG_FILE"])
def test_the_home_of_a_user_who_does_not_exist_is_told(name: str) -> None:
    assert f"{name}='~no-such-user/x'" in refusal({name: "~no-such-user/x"})


# Where values come from.


def test_the_environment_beats_the_env_file_and_that_beats_the_default(home: Path) -> None:
    write_env_file(home, "ORWATCH_SYNC_DAYS=30\nORWATCH_CONCURRENCY=2\n")
    settings = load_settings({"ORWATCH_SYNC_DAYS": "40"})
    assert (settings.sync_days, settings.concurrency, settings.retention_days) == (40, 2, 365)


def test_every_setting_can_come_from_the_env_file(home: Path) -> None:
    env_file = write_env_file(
        home,
        f"""# a comment
ORWATCH_DATABASE_URL=sqlite:////srv/orwatch.db
export ORWATCH_ENCRYPTION_KEY={KEY}, {OTHER_KEY},
ORWATCH_OPENROUTER_API_URL='https://gateway.example/v1/'
ORWATCH_USAGE_SOURCE=Counters
ORWATCH_USAGE_STATS_RETENTION_DAYS = 90
ORWATCH_SYNC_DAYS="3"
ORWATCH_RATE_LIMIT_PER_MINUTE=0
ORWATCH_CONCURRENCY=64   # as many as there may be
ORWATCH_JOB_TIMEOUT=30
ORWATCH_REFUSAL_WAIT_SECONDS=40
ORWATCH_HEARTBEAT_URL=https://hc-ping.com/KEY/orwatch-{{job}}/
ORWATCH_ALERTS_OFF=Free-Quota, spike,
ORWATCH_LIMIT_WARN=100, 50 %,50
ORWATCH_BALANCE_WARN=$12.50
ORWATCH_NOTIFY_URLS="ntfy://topic, json://host/path"
ORWATCH_ON_ALERT="notify --title 'two words'"
ORWATCH_LOG_LEVEL=debug
ORWATCH_LOG_FILE=~/logs/${{HOME}}.log
ORWATCH_LOG_FORMAT=JSON
PATH=/somewhere
""",
    )
    assert load_settings({}) == Settings(
        database_url="sqlite:////srv/orwatch.db",
        encryption_keys=(KEY, OTHER_KEY),
        encryption_keys_elsewhere=None,
        api_url="https://gateway.example/v1",
        usage_source=UsageSource.COUNTERS,
        retention_days=90,
        sync_days=3,
        rate_limit_per_minute=0,
        concurrency=64,
        job_timeout_minutes=30,
        refusal_wait_seconds=40,
        heartbeat_url="https://hc-ping.com/KEY/orwatch-{job}",
        alerts_off=frozenset({Rule.FREE_QUOTA, Rule.SPIKE}),
        limit_warn_percent=(50, 100),
        balance_warn_usd=Decimal("12.50"),
        notify_urls=("ntfy://topic", "json://host/path"),
        on_alert=("notify", "--title", "two words"),
        log_level="DEBUG",
        log_file=home / "logs/${HOME}.log",
        log_format="json",
        env_file=env_file,
    )


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
def test_empty_values_count_as_unset_wherever_they_are(home: Path, empty: str) -> None:
    defaults = load_settings({})
    nothing = dict.fromkeys(SETTING_NAMES, empty)
    assert load_settings(nothing) == defaults
    write_env_file(home, "".join(f"{name}={empty}\n" for name in SETTING_NAMES))
    assert load_settings({}) == defaults
    write_env_file(home, f"ORWATCH_SYNC_DAYS=30\nORWATCH_ENCRYPTION_KEY={KEY}\n")
    settings = load_settings(nothing)
    assert (settings.sync_days, settings.encryption_keys) == (30, (KEY,))
    assert settings.encryption_keys_elsewhere is None


def test_it_is_known_whether_the_encryption_keys_are_the_environment_s(home: Path) -> None:
    write_env_file(home, f"ORWATCH_ENCRYPTION_KEY={KEY}\n")
    settings = load_settings({"ORWATCH_ENCRYPTION_KEY": OTHER_KEY})
    assert settings.encryption_keys == (OTHER_KEY,)
    assert settings.encryption_keys_elsewhere == "ORWATCH_ENCRYPTION_KEY"


# Which env file.


def test_the_option_beats_the_environment_which_beats_the_own_file(home: Path) -> None:
    write_env_file(home, "ORWATCH_SYNC_DAYS=1\n")
    (home / "named").write_text("ORWATCH_SYNC_DAYS=2\n")
    (home / "option").write_text("ORWATCH_SYNC_DAYS=3\n")
    environ = {"ORWATCH_ENV_FILE": str(home / "named")}
    assert load_settings({}).sync_days == 1
    assert load_settings(environ).sync_days == 2
    settings = load_settings(environ, str(home / "option"))
    assert (settings.sync_days, settings.env_file) == (3, home / "option")


@pytest.mark.parametrize("name", ["env", "./env", "~/env"])
def test_a_named_env_file_may_be_relative_to_the_current_folder_or_to_home(home: Path, name: str) -> None:
    (home / "env").write_text("ORWATCH_SYNC_DAYS=2\n")
    for settings in (load_settings({}, name), load_settings({"ORWATCH_ENV_FILE": name})):
        assert settings.sync_days == 2
        assert settings.env_file.is_absolute()
        assert settings.env_file.samefile(home / "env")


def test_an_env_file_of_the_current_folder_is_not_read(home: Path) -> None:
    (home / ".env").write_text("ORWATCH_SYNC_DAYS=99\n")
    assert load_settings({}).sync_days == 7
    assert load_settings({}, ".env").sync_days == 99


def test_the_system_s_env_file_is_read_only_where_there_is_no_own_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Path("/etc/orwatch/orwatch.env")
    monkeypatch.setattr("orwatch.config.env_file.exists", lambda path: path == system)
    assert load_settings({}).env_file == system
    monkeypatch.setattr("orwatch.config.env_file.exists", lambda _path: True)
    assert load_settings({}).env_file == home / ".config/orwatch/.env"


def test_an_env_file_in_a_folder_that_is_shut_counts_as_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists

    def shut(path: Path) -> bool:
        if path.is_relative_to(home / ".config"):
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", shut)
    env_file = home / ".config/orwatch/.env"
    assert refusal({}) == (
        f"cannot read the env file {env_file}: Permission denied. `ls -l {env_file}` shows whose it is and "
        "its mode; only the user who runs orwatch should be able to read it."
    )


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"ORWATCH_SYNC_DAYS=\xff\n")])
def test_an_env_file_that_cannot_be_read_is_an_error_with_its_name(home: Path, make: object) -> None:
    make(home / "env")  # type: ignore[operator]
    message = refusal({"ORWATCH_ENV_FILE": str(home / "env")})
    assert message.startswith(f"cannot read the env file {home}/env: ")
    assert "[Errno" not in message


def test_a_wrong_value_says_that_it_is_set_in_the_env_file_where_it_is(home: Path) -> None:
    env_file = write_env_file(home, "ORWATCH_SYNC_DAYS=many\n")
    wrong = "ORWATCH_SYNC_DAYS='{}' is not a whole number from 1 to 365"
    assert refusal({}) == f"{wrong.format('many')} (set in {env_file})."
    assert refusal({"ORWATCH_SYNC_DAYS": "none"}) == f"{wrong.format('none')}."
    write_env_file(home, "ORWATCH_DATABASE_URL=/srv/orwatch.db\n")
    assert refusal({}) == (
        f"ORWATCH_DATABASE_URL='/srv/orwatch.db' is a path and not an address (set in {env_file}). "
        "Write sqlite:////srv/orwatch.db."
    )


def test_every_wrong_setting_is_named_at_once(home: Path) -> None:
    write_env_file(home, "ORWATCH_SYNC_DAYS=many\n")
    with pytest.raises(WrongSettingsError) as raised:
        load_settings({"ORWATCH_CONCURRENCY": "0", "ORWATCH_LOG_FORMAT": "xml"})
    names = ["ORWATCH_SYNC_DAYS", "ORWATCH_CONCURRENCY", "ORWATCH_LOG_FORMAT"]
    assert [error.setting for error in raised.value.errors] == names
    assert all(name in str(raised.value) for name in names)
    assert raised.value.exit_code == EXIT_SETTINGS


def test_an_env_file_that_was_named_has_to_be_there(home: Path) -> None:
    typo = home / "typo.env"
    assert missing_env_file({}) is None
    assert missing_env_file({"ORWATCH_ENV_FILE": str(typo)}) == missing_env_file({}, str(typo)) == typo
    assert missing_env_file({}, str(home / ".config/orwatch/.env")) is None
    create_env_file(typo)
    assert missing_env_file({}, str(typo)) is None
    assert stat.S_IMODE(typo.stat().st_mode) == 0o600


# Values that are refused.


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("ORWATCH_USAGE_STATS_RETENTION_DAYS", 1, 36_500),
        ("ORWATCH_SYNC_DAYS", 1, 365),
        ("ORWATCH_RATE_LIMIT_PER_MINUTE", 0, 100_000),
        ("ORWATCH_CONCURRENCY", 1, 64),
        ("ORWATCH_JOB_TIMEOUT", 0, 10_080),
    ],
)
def test_a_number_out_of_bounds_or_none_at_all_is_refused_by_name_and_value(
    name: str, least: int, most: int
) -> None:
    for text in (str(least), str(most), f" {most} "):
        assert int(text) in dataclasses.asdict(load_settings({name: text})).values()
    for text in (
        str(least - 1),
        str(most + 1),
        "-1",
        "1.5",
        "1e1",
        "seven",
        "0x10",
        "1 2",
        "NaN",
        "9" * 5000,
    ):
        assert refusal({name: text}) == f"{name}={text!r} is not a whole number from {least} to {most}."


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("ORWATCH_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
        ("ORWATCH_LOG_LEVEL", "10", "DEBUG, INFO, WARNING, ERROR"),
        ("ORWATCH_LOG_FORMAT", "xml", "text, json"),
    ],
)
def test_an_unknown_choice_is_refused_by_name_and_value(name: str, value: str, choices: str) -> None:
    assert refusal({name: value}) == f"{name}={value!r} is not one of {choices}."


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ORWATCH_ALERTS_OFF", "key,spikes", "has 'spikes' in it, which is no rule. Did you mean spike?"),
        (
            "ORWATCH_ALERTS_OFF",
            "none",
            "has 'none' in it, which is no rule. There are budget, forecast, limit, balance, spike, key, "
            "free-quota, model.",
        ),
        *(
            (
                "ORWATCH_LIMIT_WARN",
                text,
                f"={text!r} is not like 80,100: whole numbers of percent from 1 to 1000.",
            )
            for text in ("0", "80,1001", "80;90", "0.8", "-5", "٨٠", "80,٩٠", ",")
        ),
        *(
            ("ORWATCH_BALANCE_WARN", text, f"={text!r} is not an amount in dollars, like 5 or 12.50.")
            for text in ("0", "-1", "five", "NaN", "inf", "1e9", "1,5")
        ),
    ],
)
def test_what_raises_no_alert_is_refused_by_name_and_value(name: str, value: str, message: str) -> None:
    assert refusal({name: value}).removeprefix(name).lstrip() == message


@pytest.mark.parametrize("value", ["orwatch.log", "./orwatch.log", "logs/orwatch.log"])
def test_a_log_file_that_is_not_absolute_is_refused(value: str) -> None:
    assert f"ORWATCH_LOG_FILE={value!r} is not an absolute path" in refusal({"ORWATCH_LOG_FILE": value})


@pytest.mark.parametrize(
    "value",
    [
        *("sqlite://", "sqlite:", "sqlite:///", "sqlite:///:memory:", "sqlite:///orwatch.db"),
        *("sqlite:///./x.db", "sqlite:///~/x.db", "sqlite:///file:x?mode=memory&uri=true"),
        "sqlite:////srv/orwatch.db?mode=ro",
    ],
)
def test_a_sqlite_database_that_is_relative_or_in_memory_is_refused(value: str) -> None:
    message = refusal({"ORWATCH_DATABASE_URL": value})
    assert f"ORWATCH_DATABASE_URL={value!r} does not name a file by its absolute path" in message


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+psycopg://orwatch:hunter2@db.example/orwatch",
        "postgresql://orwatch@db.example:5433/orwatch?sslmode=require",
        "postgres:///orwatch?host=/run/postgresql",
    ],
)
def test_a_postgresql_database_may_be_named_in_any_usual_way(home: Path, value: str) -> None:
    assert load_settings({"ORWATCH_DATABASE_URL": value}).database_url == value


def test_a_postgresql_address_that_cannot_be_read_is_refused_with_what_to_write() -> None:
    message = refusal({"ORWATCH_DATABASE_URL": "postgresql://orwatch:hunter2@db.example"})
    assert "ORWATCH_DATABASE_URL cannot be used: it names no database after the host. Write " in message
    assert "postgresql+psycopg://user:password@host:5432/database" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mysql://orwatch:hunter2@db.example/orwatch", "begins with 'mysql'"),
        ("postgresql+asyncpg://orwatch:hunter2@db.example/orwatch", "begins with 'postgresql+asyncpg'"),
        ("sqlite+pysqlcipher://:hunter2@//srv/orwatch.db", "begins with 'sqlite+pysqlcipher'"),
        ("sqlite://orwatch:hunter2@db.example/orwatch", "begins with 'sqlite'"),
        ("hunter2", "is not an address"),
    ],
)
def test_another_database_is_refused_without_its_password(value: str, shown: str) -> None:
    message = refusal({"ORWATCH_DATABASE_URL": value})
    assert message.startswith(f"ORWATCH_DATABASE_URL {shown}. Use SQLite, ")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "value",
    [
        *("openrouter.ai", "openrouter.ai/api/v1", "/api/v1", "https://", "https:///api", "https://:443/"),
        *(
            "ftp://openrouter.ai",
            "file:///etc/passwd",
            "https://host:99999",
            "https://host:0",
            "https://[::1",
        ),
        *(
            "https://host:port",
            "https://a b/",
            "https://a/b c",
            "https://a\nb/",
            "https://a\x1b/",
            "https:\\\\a",
        ),
        *("https://a\\b", "https://\u200ba/", "https://a\u2028/"),
    ],
)
def test_what_is_no_web_address_is_refused_by_name_and_value(value: str) -> None:
    message = refusal({"ORWATCH_OPENROUTER_API_URL": value})
    assert f"ORWATCH_OPENROUTER_API_URL={value!r} is not an address like {DEFAULT_API_URL}" in message


@pytest.mark.parametrize(
    "value",
    [
        *(
            "https://user:hunter2@host/",
            "https://hunter2@host/",
            "https://:hunter2@host",
            "ftp://u:hunter2@host",
        ),
        *(
            "https://u:hunter2@host:99999",
            "https://u:hunter2@[::1",
            "https://host/?key=hunter2",
            "https://host/#hunter2",
        ),
        *("http://127.0.0.1:hunter2@evil.example/", "http://localhost@evil.example/?hunter2"),
    ],
)
def test_an_address_with_a_user_a_query_or_a_fragment_is_refused_without_being_shown(value: str) -> None:
    message = refusal({"ORWATCH_OPENROUTER_API_URL": value})
    assert message.startswith("ORWATCH_OPENROUTER_API_URL")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "host",
    [
        *("openrouter.ai", "192.168.1.1", "10.0.0.1", "0.0.0.0", "128.0.0.1", "[::]", "[fe80::1]", "[::2]"),
        *("localhost.example", "127.0.0.1.example", "local", "127.1", "[::ffff:10.0.0.1]", "localhost.evil"),
    ],
)
def test_unencrypted_http_is_refused_to_another_machine(host: str) -> None:
    message = refusal({"ORWATCH_OPENROUTER_API_URL": f"http://{host}/api"})
    assert f"ORWATCH_OPENROUTER_API_URL='http://{host}/api' would send your keys unencrypted" in message
    assert (
        load_settings({"ORWATCH_OPENROUTER_API_URL": f"https://{host}/api"}).api_url == f"https://{host}/api"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.255.254", "[::1]", "localhost", "LOCALHOST"])
def test_unencrypted_http_is_for_this_machine(host: str) -> None:
    url = f"http://{host}:8080/api"
    assert load_settings({"ORWATCH_OPENROUTER_API_URL": f"{url}/"}).api_url == url
    assert is_loopback(host.strip("[]").lower())


# Names and secrets.


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ORWATCH_SYNC_DAY", "ORWATCH_SYNC_DAYS"),
        ("ORWATCH_LOGLEVEL", "ORWATCH_LOG_LEVEL"),
        ("ORWATCH_ENCRYPTION_KEYS", "ORWATCH_ENCRYPTION_KEY"),
        ("ORWATCH_RETENTION_DAYS", "ORWATCH_USAGE_STATS_RETENTION_DAYS"),
        ("ORWATCH_" + "Q" * 60, None),
    ],
)
def test_an_unknown_name_is_paired_with_the_nearest_known_one(
    home: Path, name: str, nearest: str | None
) -> None:
    assert load_settings({name: "5", "SYNC_DAYS": "3", "PATH": "/bin"}).unknown_names == ((name, nearest),)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ORWATCH_USAGE_STATS_RETENTION_DAYS: 3650", NO_ASSIGNMENT),
        ("ORWATCH_USAGE_STATS_RETENTION_DAYS 3650", NO_ASSIGNMENT),
        ("ORWATCH_USAGE_STATS_RETENTION_DAYS", NO_ASSIGNMENT),
        ("hunter2", NO_ASSIGNMENT),
        ("ORWATCH_SYNC_DAYS='3", NO_ASSIGNMENT),
        ("ORWATCH_RETENTION_DAYS=3650", f"{NO_SETTING} Did you mean ORWATCH_USAGE_STATS_RETENTION_DAYS?"),
        ("orwatch_sync_days=3", f"{NO_SETTING} Did you mean ORWATCH_SYNC_DAYS?"),
        ("export ORWACTH_SYNC_DAYS=3", f"{NO_SETTING} Did you mean ORWATCH_SYNC_DAYS?"),
        # A secret that lost its first equals sign; it has another one at its end.
        (f"ORWATCH_ENCRYPTION_KEY{KEY}", f"{NO_SETTING} `orwatch help settings` lists every setting."),
    ],
)
def test_a_line_of_the_env_file_that_is_no_setting_is_an_error_and_never_shown(
    home: Path, line: str, error: str
) -> None:
    write_env_file(home, f"# mine\n\nORWATCH_LOG_LEVEL=INFO\n{line}\nORWATCH_CONCURRENCY=2\n")
    with pytest.raises(SettingsError) as raised:
        load_settings({})
    env_file = home / ".config/orwatch/.env"
    assert str(raised.value) == error.format(env_file=env_file)
    shown = "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in shown
    assert KEY not in shown


def test_a_setting_that_stands_twice_in_the_env_file_is_an_error(home: Path) -> None:
    write_env_file(home, "OTHER=1\nORWATCH_ENCRYPTION_KEY=\nOTHER=2\nORWATCH_ENCRYPTION_KEY=abc\n")
    with pytest.raises(SettingsError) as raised:
        load_settings({})
    assert f"lines 2 and 4 of {home / '.config/orwatch/.env'} both set ORWATCH_ENCRYPTION_KEY" in str(
        raised.value
    )
    assert "abc" not in str(raised.value)


def test_every_wrong_line_and_value_is_told_at_once(home: Path) -> None:
    write_env_file(home, "ORWATCH_APES=1\nno\nORWATCH_CONCURRENCY=0\n")
    settings, errors = examine_settings({}, None)
    assert [error.setting for error in errors] == [None, None, "ORWATCH_CONCURRENCY"]
    assert (settings.concurrency, settings.unknown_names) == (8, ())


def test_names_of_other_programs_may_be_in_the_env_file(home: Path) -> None:
    write_env_file(home, "\ufeffORWATCH_SYNC_DAYS=3\nSYNC_DAYS=4\nexport PATH=/bin\n# ORWATCH_APES\n")
    assert load_settings({}).sync_days == 3


def test_unknown_names_of_the_environment_are_told_in_order(home: Path) -> None:
    settings = load_settings({"ORWATCH_MONKEYS": "1", "ORWATCH_APES": "2"})
    assert [name for name, _ in settings.unknown_names] == ["ORWATCH_APES", "ORWATCH_MONKEYS"]


def test_no_secret_is_in_the_repr() -> None:
    settings = load_settings(
        {"ORWATCH_ENCRYPTION_KEY": f"{KEY},{OTHER_KEY}", "ORWATCH_DATABASE_URL": "sqlite:////srv/hunter2.db"}
    )
    assert settings.encryption_keys == (KEY, OTHER_KEY)
    for secret in (KEY, OTHER_KEY, "hunter2"):
        assert secret not in repr(settings)


def test_no_secret_is_in_the_traceback_of_another_setting_s_error(home: Path) -> None:
    write_env_file(
        home,
        f"ORWATCH_ENCRYPTION_KEY={KEY}\nORWATCH_DATABASE_URL=postgresql://me:hunter2@db.example\n",
    )
    with pytest.raises(SettingsError) as raised:
        load_settings({})
    shown = "".join(traceback.format_exception(raised.value))
    assert KEY not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "value",
    [
        "hc-ping.com/secret",
        "ftp://a/secret",
        "https://",
        "https://a b/secret",
        "https://[/",
        "https://a/\\secret",
    ],
)
def test_a_heartbeat_address_that_is_none_is_refused_and_not_shown(home: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="ORWATCH_HEARTBEAT_URL is not an address") as refused:
        load_settings({"ORWATCH_HEARTBEAT_URL": value})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", ["https://a/secret-{name}", "https://a/secret/{job", "https://a/{Job}"])
def test_a_heartbeat_address_with_another_placeholder_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(SettingsError, match=r"ORWATCH_HEARTBEAT_URL has braces .* not \{job\}") as refused:
        load_settings({"ORWATCH_HEARTBEAT_URL": value})
    assert "secret" not in str(refused.value)
