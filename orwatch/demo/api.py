"""OpenRouter's API over made-up usage: which key may ask what, and what a key is told about itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

from orwatch.demo.account import FakeAccount, demo_account, demo_keys, with_own_seeds
from orwatch.demo.account_api import (
    answer_credits,
    answer_keys,
    answer_listed_key,
    answer_workspace_budgets,
    answer_workspaces,
)
from orwatch.demo.activity import answer_activity
from orwatch.demo.analytics import answer_analytics, answer_analytics_meta
from orwatch.demo.catalog import Counts
from orwatch.demo.key_api import answer_key
from orwatch.demo.ledger import Ledger
from orwatch.demo.models_api import answer_models
from orwatch.demo.server import Request, Response, error_response, json_response
from orwatch.demo.state import FakeAccountState, is_deleted, is_expired, parse_day
from orwatch.demo.usage import NO_USE, FakeKey, FakeUsage, usage_of

__all__ = ["HISTORY_DAYS", "FakeOpenRouter", "demo_account", "demo_keys", "utc_today"]

HISTORY_DAYS = 30

_ID = re.compile(r"^(/keys/|/workspaces/)[^/]+")

# The method, and the path with `*` for an id in it.
_Endpoint: TypeAlias = tuple[str, str]

_MODELS: _Endpoint = ("GET", "/models")
_KEY: tuple[_Endpoint, ...] = (("GET", "/key"), ("GET", "/auth/key"))
_USAGE: _Endpoint = ("GET", "/usage")
_WORKSPACES: _Endpoint = ("GET", "/workspaces")
_BUDGETS: _Endpoint = ("GET", "/workspaces/*/budgets")
_ANALYTICS: _Endpoint = ("POST", "/analytics/query")
_ANALYTICS_META: _Endpoint = ("GET", "/analytics/meta")
_MANAGEMENT_ENDPOINTS: dict[_Endpoint, Callable[[Request, FakeAccountState], Response]] = {
    ("GET", "/activity"): answer_activity,
    ("GET", "/credits"): answer_credits,
    ("GET", "/keys"): answer_keys,
    ("GET", "/keys/*"): answer_listed_key,
    _WORKSPACES: answer_workspaces,
    _BUDGETS: answer_workspace_budgets,
    _ANALYTICS: answer_analytics,
    _ANALYTICS_META: answer_analytics_meta,
}


def utc_today() -> date:
    """The current UTC day."""
    return datetime.now(UTC).date()


class FakeOpenRouter:
    """The keys, and the answers to what is asked with them. Safe to use from several threads at once.

    The keys' life begins ``history_days`` back, the day on which this is made included, and goes on as
    ``today`` moves. The account's keys answer to their own secrets as ``keys`` do, which are other people's.
    What the server does not serve gets 404.
    """

    def __init__(
        self,
        keys: Iterable[FakeKey],
        *,
        account: FakeAccount | None = None,
        today: Callable[[], date] = utc_today,
        history_days: int = HISTORY_DAYS,
        serves_usage: bool = True,
        serves_analytics: bool = True,
        serves_workspaces: bool = True,
    ) -> None:
        self._today = today
        self._first_day = today() - timedelta(days=history_days - 1)
        self._ledger = Ledger(self._first_day)
        self._lock = threading.Lock()
        self._account = account
        account_keys = () if account is None else account.keys
        self._account_secrets = [key.secret for key in account_keys]
        # The account's own keys come last: they replace those that are given twice.
        self._keys = {key.secret: _settled(key, today()) for key in (*keys, *account_keys)}
        if account is not None:
            management_key = FakeKey("management", account.management_secret, NO_USE)
            self._keys[management_key.secret] = management_key
        served = {
            _USAGE: serves_usage,
            _ANALYTICS: serves_analytics,
            _ANALYTICS_META: serves_analytics,
            _WORKSPACES: serves_workspaces,
            _BUDGETS: serves_workspaces,
        }
        self._served = {
            endpoint
            for endpoint in (_MODELS, *_KEY, _USAGE, *_MANAGEMENT_ENDPOINTS)
            if served.get(endpoint, True)
        }

    @property
    def account_keys(self) -> tuple[FakeKey, ...]:
        """The account's keys as they are now, deleted ones included."""
        with self._lock:
            return self._current_account_keys()

    def revoke(self, name: str) -> None:
        """From now on the key of that name gets 401. Raises ``LookupError`` when there is none."""
        with self._lock:
            for secret, key in self._keys.items():
                if key.name == name:
                    self._keys[secret] = _settled(replace(key, is_revoked=True), self._today())
                    return
        raise LookupError(f"there is no key named {name!r}")

    def delete(self, key_hash: str) -> None:
        """From today on the key gets 401 and is not listed; what it has used, today included, stays counted.

        Raises ``LookupError`` when there is none.
        """
        today = self._today()
        self._change(key_hash, lambda key: replace(_stopped(key, today), deleted_on=today))

    def run_wild(self, key_hash: str, model: str, counts: Counts) -> None:
        """So much more of a model that it calls has the key used today; ``GET /usage`` does not know of it.

        Raises ``LookupError`` when there is no such key.
        """
        today = self._today()

        def use(key: FakeKey) -> FakeKey:
            self._ledger.add(key, today, model, counts)
            return key

        self._change(key_hash, use)

    def rename(self, key_hash: str, name: str) -> None:
        """Call the key otherwise; its usage stays its own. Raises ``LookupError`` when there is none."""
        self._change(key_hash, lambda key: replace(key, name=name, seed=key.usage_seed))

    def disable(self, key_hash: str) -> None:
        """From now on the key gets 401 and has no new usage. Raises ``LookupError`` when there is none."""
        today = self._today()
        self._change(key_hash, lambda key: replace(_stopped(key, today), is_disabled=True))

    def add(self, key: FakeKey) -> None:
        """One more key: the account's, where there is an account. Raises ``ValueError`` for a known secret.

        It has usage since its ``created_on``, or since the beginning.
        """
        with self._lock:
            if key.secret in self._keys:
                raise ValueError(f"the secret of {key.name!r} is known already")
            if self._account is not None:
                key = with_own_seeds((*self._current_account_keys(), key))[-1]
                self._account_secrets.append(key.secret)
            self._keys[key.secret] = _settled(key, self._today())

    def answer(self, request: Request) -> Response:
        """What OpenRouter would answer, errors included."""
        endpoint = (request.method, _ID.sub(r"\1*", request.path))
        if endpoint not in self._served:
            return error_response(404, "Not Found")
        if endpoint == _MODELS:
            return answer_models(self._today())
        if request.secret is None:
            return error_response(401, "No auth credentials found")
        today = self._today()
        with self._lock:
            key = self._keys.get(request.secret)
            account_keys = self._current_account_keys()
        if key is None or not _is_good(key, today):
            return error_response(401, "User not found.")
        if endpoint == _USAGE:
            return self._answer_usage(request, key, today)
        account = self._account
        if account is None or key.secret not in (account.management_secret, *self._account_secrets):
            # A key of somebody else's, who has no other.
            account, account_keys = FakeAccount("", (key,)), (key,)
        state = FakeAccountState(account, account_keys, self._ledger, today)
        if endpoint in _KEY:
            return answer_key(key, state)
        if key.secret != account.management_secret:
            return error_response(403, "Only management keys can perform this operation")
        return _MANAGEMENT_ENDPOINTS[endpoint](request, state)

    def _current_account_keys(self) -> tuple[FakeKey, ...]:
        return tuple(self._keys[secret] for secret in self._account_secrets)

    def _change(self, key_hash: str, change: Callable[[FakeKey], FakeKey]) -> None:
        with self._lock:
            for secret, key in self._keys.items():
                if key.key_hash == key_hash:
                    self._keys[secret] = change(key)
                    return
        raise LookupError(f"there is no key with the hash {key_hash!r}")

    def _answer_usage(self, request: Request, key: FakeKey, today: date) -> Response:
        days = []
        for name in ("start_date", "end_date"):
            day = parse_day(request.query.get(name, ""))
            if day is None:
                return error_response(400, f"{name} must be a date as YYYY-MM-DD")
            days.append(day)
        since, until = days
        if since > until:
            return error_response(400, "start_date must not be after end_date")
        rows = self._usage(key, max(since, self._first_day), min(until, today))
        return json_response(
            {
                "data": [
                    {
                        "date": row.day.isoformat(),
                        "model": row.model,
                        "requests_count": row.requests,
                        "tokens_input": row.tokens_input,
                        "tokens_output": row.tokens_output,
                        "cost": row.cost_usd,
                    }
                    for row in rows
                ]
            }
        )

    def _usage(self, key: FakeKey, since: date, until: date) -> list[FakeUsage]:
        days = (since + timedelta(days=count) for count in range((until - since).days + 1))
        return [row for day in days for row in usage_of(key, day)]


def _is_good(key: FakeKey, today: date) -> bool:
    return not (key.is_revoked or key.is_disabled or is_expired(key, today) or is_deleted(key, today))


def _settled(key: FakeKey, today: date) -> FakeKey:
    """The key, with no use after today where nobody can use it."""
    return _stopped(key, today) if key.is_revoked or key.is_disabled else key


def _stopped(key: FakeKey, today: date) -> FakeKey:
    return replace(key, used_until=min(key.last_day, today))
