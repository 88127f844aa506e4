"""Doctor: look at everything that has to be right, go on where something is not, and say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from orwatch.clock import Clock
from orwatch.config.settings import Settings, examine_settings
from orwatch.domain.keys import StoredKey
from orwatch.errors import SettingsError, StoreUnavailableError, StoreUnusableError
from orwatch.jobs.cron.result import CronShowResult
from orwatch.jobs.doctor import api as doctor_api
from orwatch.jobs.doctor import settings as doctor_settings
from orwatch.jobs.doctor.account_totals import compare_accounts
from orwatch.jobs.doctor.alerts import check_destinations, check_undelivered
from orwatch.jobs.doctor.database import (
    FoundDatabase,
    FoundSecrets,
    check_names,
    find_secrets,
    free_bytes,
    open_database,
)
from orwatch.jobs.doctor.days import check_days
from orwatch.jobs.doctor.jobs import check_jobs, check_schedule
from orwatch.jobs.doctor.key_totals import compare_keys
from orwatch.jobs.doctor.result import Check, CheckArea, DoctorResult
from orwatch.jobs.doctor.stored import read_stored
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys

# Makes the client for the settings that were found; without a database there is no rate limit to keep to.
OpenClient: TypeAlias = Callable[[Settings, Store | None], AbstractContextManager[Client]]

_AREAS = tuple(CheckArea)
_STORED_AREAS = (CheckArea.TOTALS, CheckArea.DAYS, CheckArea.JOBS)
_FIRST = "Correct that first; then run this again."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What doctor looks at outside of orwatch's own files.

    ``on_asking`` gets the number of keys that are going to be asked about one by one.
    """

    environ: Mapping[str, str]
    env_file_option: str | None
    show_schedule: Callable[[Settings], CronShowResult]
    open_client: OpenClient
    on_asking: Callable[[int, Settings], None] = lambda _requests, _settings: None
    free_bytes: Callable[[Path], int] = free_bytes

    def keyring(self, settings: Settings) -> Keyring:
        """The encryption keys of these settings, and how to read them anew."""
        return Keyring(
            settings.encryption_keys,
            lambda: examine_settings(self.environ, self.env_file_option)[0].encryption_keys,
        )


def run(surroundings: Surroundings, clock: Clock) -> DoctorResult:
    """Check everything. Nothing is written but what the rate limit needs.

    What is broken is a finding, and what it keeps from being checked is skipped.
    """
    found = doctor_settings.examine(surroundings.environ, surroundings.env_file_option)
    checks = list(found.checks)
    if found.settings is None:
        checks += [_skipped(area, "the settings cannot be read") for area in _AREAS[1:]]
    else:
        checks += check_destinations(found.settings, found.wrong)
        database = _open(found.settings, found.wrong, surroundings)
        checks += database.checks
        try:
            checks += _look_inside(found.settings, found.wrong, database.store, surroundings, clock)
        finally:
            if database.store is not None:
                database.store.close()
    return DoctorResult(tuple(sorted(checks, key=lambda check: _AREAS.index(check.area))), clock.now())


def _open(settings: Settings, wrong: frozenset[str], surroundings: Surroundings) -> FoundDatabase:
    if any(name.startswith("ORWATCH_DATABASE_URL") for name in wrong):
        return FoundDatabase(None, (_skipped(CheckArea.DATABASE, "ORWATCH_DATABASE_URL is wrong"),))
    return open_database(settings.database_url, surroundings.free_bytes)


def _look_inside(
    settings: Settings,
    wrong: frozenset[str],
    store: Store | None,
    surroundings: Surroundings,
    clock: Clock,
) -> Iterator[Check]:
    """Secrets, API, totals, days and jobs."""
    shown = surroundings.show_schedule(settings)
    keys: Sequence[StoredKey] = ()
    secrets = FoundSecrets({}, (_skipped(CheckArea.SECRETS, "the database cannot be read"),))
    if store is not None:
        with store.read() as connection:
            listed = stored_keys.list_with_old_secrets(connection)
            like_secrets = stored_keys.names_like_secrets(connection)
        yield from check_names(like_secrets)
        keys = [key for key in listed if not key.is_deleted and not key.is_replaced]
        old = [key for key in listed if key.is_replaced]
        secrets = find_secrets(store, [*keys, *old], surroundings.keyring(settings))
    yield from secrets.checks
    began_on = clock.now().date()
    reported = doctor_api.Reported((_skipped(CheckArea.API, "ORWATCH_OPENROUTER_API_URL is wrong"),))
    if "ORWATCH_OPENROUTER_API_URL" not in wrong:
        reported = _ask(settings, store, surroundings, keys, secrets, clock)
    yield from reported.checks
    if store is None:
        yield from (_skipped(area, "the database cannot be read") for area in _STORED_AREAS)
        yield from check_schedule(shown, is_missed=None)
        return
    try:
        yield from _compare(store, keys, reported, shown, began_on, clock.now())
    except (StoreUnusableError, StoreUnavailableError) as error:
        yield CheckArea.DATABASE.finding("reading", str(error), _FIRST)
        yield from check_schedule(shown, is_missed=None)


def _compare(
    store: Store,
    keys: Sequence[StoredKey],
    reported: doctor_api.Reported,
    shown: CronShowResult,
    began_on: date,
    now: datetime,
) -> list[Check]:
    """What is stored against what was reported, and what is missing in it."""
    with store.read() as connection:
        stored = read_stored(connection, now.date())
        checks = [*check_days(stored, now), *check_jobs(connection, keys, shown, now)]
        checks += check_undelivered(connection)
        if {began_on, (reported.server_now or now).date()} != {now.date()}:
            why = "the API's day is not this machine's: set the clock, or run this again after midnight"
            return [*checks, _skipped(CheckArea.TOTALS, why)]
        totals = [
            *compare_keys(stored, reported.facts),
            *compare_accounts(connection, stored, reported.credits),
        ]
    return [*checks, *(totals or [_skipped(CheckArea.TOTALS, "the API reported nothing about any key")])]


def _ask(
    settings: Settings,
    store: Store | None,
    surroundings: Surroundings,
    keys: Sequence[StoredKey],
    secrets: FoundSecrets,
    clock: Clock,
) -> doctor_api.Reported:
    try:
        with surroundings.open_client(settings, store) as client:
            return doctor_api.ask(
                client,
                keys,
                secrets.secrets,
                clock,
                settings.concurrency,
                lambda requests: surroundings.on_asking(requests, settings),
            )
    except (SettingsError, StoreUnusableError, StoreUnavailableError) as error:
        # A proxy that is no address; a rate limit that cannot be kept.
        return doctor_api.Reported((CheckArea.API.finding("API", str(error), _FIRST),))


def _skipped(area: CheckArea, why: str) -> Check:
    return area.skipped(area.value, f"not checked: {why}")
