"""What the commands share: settings, store, client and log, made when first asked for.

The only reader of the clock and of the environment.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from orwatch.cli.notices import notice, written_by
from orwatch.config import env_file as config
from orwatch.config import settings as settings_module
from orwatch.config.settings import Settings
from orwatch.domain.runs import Job
from orwatch.errors import InterruptedRunError, SettingsError
from orwatch.text import is_terminal, printable

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client
    from orwatch.openrouter.outage import Patience
    from orwatch.render.progress import ProgressBar
    from orwatch.secrets import Keyring
    from orwatch.store.engine.database import Store


# What a command does whose progress line says no more.
_ASKING = "Asking OpenRouter"


class SystemClock:
    """The real time. ``stop`` ends all waiting."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; raises ``InterruptedRunError`` when stopped meanwhile."""
        if self._stopped.wait(seconds):
            raise InterruptedRunError("interrupted while waiting.")

    def stop(self) -> None:
        """End every ``sleep``, now and later."""
        self._stopped.set()


class Context:
    """What one command works with. A context manager: what it opened is closed at its end."""

    def __init__(self, env_file: str | None) -> None:
        self._env_file_option = env_file
        self._resources = ExitStack()
        self._log = self._resources.enter_context(ExitStack())
        self._is_verbose = False
        self.is_quiet = False
        # Whether an env file that was named need not be there.
        self.may_lack_env_file = False
        # Whether the database, that env file and the encryption key are made where they are missing.
        self.may_create = False
        self.clock = SystemClock()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Threads that wait for their turn or for a retry must not outlive the command.
        self.clock.stop()
        self._resources.close()

    @property
    def now(self) -> datetime:
        """The current time in UTC."""
        return self.clock.now()

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of this command."""
        return os.environ

    @property
    def today(self) -> date:
        """The current UTC day."""
        return self.now.date()

    @property
    def env_file(self) -> Path:
        """The env file, also where what it says is wrong."""
        return config.find_env_file(os.environ, self._env_file_option)

    @cached_property
    def settings(self) -> Settings:
        """The settings; unknown names in them are reported once. Raises ``SettingsError``."""
        missing = config.missing_env_file(os.environ, self._env_file_option)
        if missing is not None and not (self.may_lack_env_file or self.may_create):
            path = shlex.quote(str(missing))
            raise SettingsError(
                f"there is no env file {missing}",
                f"Correct --env-file or ORWATCH_ENV_FILE, or create it: `orwatch --env-file {path} init`.",
            )
        settings = self._load_settings()
        for name, nearest in settings.unknown_names:
            hint = f" Did you mean {nearest}?" if nearest else ""
            notice(f"unknown setting {printable(name)} is ignored.{hint}")
        return settings

    @cached_property
    def store(self) -> Store:
        """The database, created where ``may_create`` says so, and closed with the context.

        Raises ``SettingsError``, ``StoreUnusableError``, ``StoreUnavailableError``.
        """
        from orwatch.store.engine.backend import NoDatabaseError
        from orwatch.store.engine.database import open_store

        try:
            store = open_store(self.settings.database_url, self.now, may_create=self.may_create)
        except NoDatabaseError as error:
            from orwatch.jobs.db.opening import absent

            raise absent(error) from error
        self._resources.callback(store.close)
        if self.may_create:
            self._create_what_is_missing(store)
        return store

    def _create_what_is_missing(self, store: Store) -> None:
        """An env file that was named, and an encryption key."""
        if store.is_new:
            notice(f"created the database {store.location}")
        missing = config.missing_env_file(os.environ, self._env_file_option)
        if missing is not None:
            config.create_env_file(missing)
        if not self.settings.encryption_keys:
            self._create_encryption_key(store)

    def existing_store(self) -> Store | None:
        """The database if there is one; nothing is created and nothing said. For the shell's completion.

        Raises as ``store`` does.
        """
        from orwatch.store.engine.backend import NoDatabaseError
        from orwatch.store.engine.database import open_existing

        settings = self._load_settings()
        try:
            store = open_existing(settings.database_url)
        except NoDatabaseError:
            return None
        return self._resources.enter_context(closing(store))

    @property
    def keyring(self) -> Keyring:
        """The Fernet keys, newest first; none only where secrets are stored that need a lost one."""
        from orwatch.secrets import Keyring

        return Keyring(self.settings.encryption_keys, lambda: self._load_settings().encryption_keys)

    def _create_encryption_key(self, store: Store) -> None:
        """Make an encryption key where nothing is stored that would need another one."""
        from orwatch.secrets import generate_encryption_key
        from orwatch.store.keys import table as stored_keys

        with store.read() as connection:
            has_secrets = stored_keys.has_secrets(connection)
        if has_secrets:
            # Of another process, perhaps, that was faster with the key too. Whatever needs one that is lost
            # says so; the rest goes on without.
            self.reload_settings()
            return
        with config.env_file_lock(self.settings.env_file):
            # Another process may have been faster.
            self.reload_settings()
            if not self.settings.encryption_keys:
                config.write_encryption_keys(self.settings.env_file, (generate_encryption_key(),))
                self.reload_settings()
                notice(
                    f"wrote a new encryption key to {self.settings.env_file}; keep a copy of it, "
                    "stored API keys cannot be read without it"
                )
                if store.backend.file is None:
                    notice(
                        "every machine that shares the database needs this very line, "
                        "ORWATCH_ENCRYPTION_KEY=…; copy it to the others, or theirs to here"
                    )

    def reload_settings(self) -> None:
        """Read the settings anew; unknown names are not reported again."""
        self.__dict__["settings"] = self._load_settings()

    def _load_settings(self) -> Settings:
        return settings_module.load_settings(os.environ, self._env_file_option)

    def client(
        self, patience: Patience | None = None, bar: ProgressBar | None = None
    ) -> AbstractContextManager[Client]:
        """An API client that keeps to the rate limit of all processes on this database.

        ``patience`` None: where standard output or error is a terminal, somebody waits and it soon gives up.
        ``bar``: the line on the terminal that shows how long it waits; else there is one of its own.
        """
        return self.client_on(self.store, self.settings, patience, bar)

    @contextmanager
    def client_on(
        self,
        store: Store | None,
        settings: Settings,
        patience: Patience | None = None,
        bar: ProgressBar | None = None,
    ) -> Iterator[Client]:
        """As ``client``, by other settings and on another database.

        Without one the requests of all processes cannot be counted, and each starts at once.
        """
        from orwatch.openrouter.client import Client
        from orwatch.openrouter.outage import OF_A_PERSON
        from orwatch.store.engine.rate_limit import RateLimiter

        def start_at_once() -> Callable[[], None]:
            return lambda: None

        with ExitStack() as opened:
            bar = bar or opened.enter_context(self.progress_bar(_ASKING))
            wait_for_turn = start_at_once
            if store is not None:
                on_wait = bar.wait if bar is not None else None
                limiter = RateLimiter(store, settings.rate_limit_per_minute, self.clock, on_wait)
                wait_for_turn = limiter.wait_for_turn
            yield opened.enter_context(
                Client(
                    settings.api_url,
                    clock=self.clock,
                    wait_for_turn=wait_for_turn,
                    connections=settings.concurrency,
                    patience=patience or (OF_A_PERSON if _is_watched() else None),
                )
            )

    @contextmanager
    def progress_bar(self, doing: str) -> Iterator[ProgressBar | None]:
        """The line on the terminal; none under cron, in a pipe, with ``--quiet`` or ``--verbose``."""
        if not is_terminal(sys.stderr) or self.is_quiet or self._is_verbose:
            yield None
            return
        from orwatch.render.progress import progress_bar

        with progress_bar(doing) as bar, written_by(bar.write_above):
            yield bar

    def start_log(self, job: Job, *, is_verbose: bool = False, is_quiet: bool = False) -> None:
        """Send log records where the settings say. Raises ``SettingsError`` for an unusable file."""
        from orwatch.cli.logs import start_log

        self.is_quiet = is_quiet
        self._is_verbose = is_verbose
        self._log.callback(start_log(self.settings, job, is_verbose=is_verbose, is_quiet=is_quiet))

    def log_as(self, job: Job) -> None:
        """Go on with the log under the name of another job. Raises ``SettingsError``."""
        self._log.close()
        self.start_log(job, is_verbose=self._is_verbose, is_quiet=self.is_quiet)


def _is_watched() -> bool:
    """Whether somebody sits at a terminal and waits."""
    return is_terminal(sys.stdout) or is_terminal(sys.stderr)


pass_context = click.make_pass_decorator(Context)
