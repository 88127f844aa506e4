"""An OpenRouter account in memory: usage as it is told to it, answered as a management key is answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, TypeAlias

import httpx
import respx

from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.money import from_nano
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.progress import SyncProgress
from orwatch.jobs.sync.request import SyncRequest, last_days
from orwatch.jobs.sync.result import SyncedKey, SyncResult
from orwatch.jobs.validate import run as validate_job
from orwatch.secrets import Keyring, hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import to_day_number
from tests.jobs.support import ENCRYPTION_KEY, add_key, make_client
from tests.support import API_URL, FakeClock, secret_of

MANAGEMENT = KeyFacts(KeyKind.MANAGEMENT)
DEFAULT_WORKSPACE = "00000000-0000-0000-0000-000000000001"
GPT = "openai/gpt-4.1"
CLAUDE = "anthropic/claude-sonnet-4"

Json: TypeAlias = dict[str, Any]
Spot: TypeAlias = tuple[date, str | None, str, str]


def permaslug(model: str) -> str:
    """The dated name under which analytics knows a model."""
    plain, colon, variant = model.partition(":")
    return f"{plain}-2025-04-14{colon}{variant}"


@dataclass
class Use:
    """What one key used of one model at one provider in a day; money in nano-dollars."""

    requests: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    cost_nano: int = 0
    byok_nano: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(
            self.requests + other.requests,
            self.tokens_input + other.tokens_input,
            self.tokens_output + other.tokens_output,
            self.cost_nano + other.cost_nano,
            self.byok_nano + other.byok_nano,
        )


@dataclass
class ServerKey:
    """A key as the account knows it."""

    key_hash: str
    name: str
    created_at: datetime
    workspace: str = DEFAULT_WORKSPACE
    is_disabled: bool = False
    is_deleted: bool = False
    more: Json = field(default_factory=dict)


class AccountServer:
    """One account, which uses what the test says. (What is used at the demo's server is made up.)

    Attributes are switches: what is missing, what fails and how, how much fits an answer.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.clock_is_ahead = timedelta(0)
        self.managers = {secret_of("boss")}
        self.revoked: set[str] = set()
        self.keys: dict[str, ServerKey] = {}
        self.usage: dict[Spot, Use] = {}
        self.bought_usd = 1000
        self.workspaces: list[str] = [DEFAULT_WORKSPACE]
        self.budgets: dict[str, list[Json]] = {}  # by workspace; without any the plan has none
        self.unknown_to_counters: dict[str, int] = {}
        self.missing: dict[str, int] = {}  # path -> 404 or 403
        self.failing: dict[str, httpx.Response | int] = {}  # path or hash -> answer
        self.failing_offset: str | None = None
        self.forgets_deleted_keys = False
        self.knows_expired = True
        self.told_of_owner: Json = {}
        self.told_to_keys: Json = {}  # and not in lists
        self.tells_last_use = False
        self.last_used: dict[str | None, datetime] = {}
        self.unresolved: set[str] = set()  # hashes that analytics does not know
        self.warning = "filter could not be resolved: {}"
        self.max_rows = 10_000
        self.too_heavy_days: int | None = None
        self.ignores_filters = False
        self.dies_after: int | None = None
        self.seconds_each = 0.0
        self.retirements: dict[str, date] = {}
        self.requests: list[tuple[str, Json]] = []
        self._lock = threading.Lock()

    # What happens in the account.

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.clock_is_ahead

    @property
    def today(self) -> date:
        return self.now.date()

    def create(self, name: str, *, secret_name: str | None = None, **others: Any) -> str:
        """A new key; its hash. Its secret is ``secret_of(secret_name)``."""
        key_hash = hash_secret(secret_of(secret_name or f"{name} {len(self.keys)}"))
        self.keys[key_hash] = ServerKey(key_hash, name, others.pop("created_at", self.now), **others)
        return key_hash

    def use(
        self,
        key_hash: str | None,
        cost: str | int = "1",
        *,
        model: str = GPT,
        provider: str = "OpenAI",
        day: date | None = None,
        requests: int = 1,
        byok: str | int = "0",
    ) -> None:
        """Some use, today unless told otherwise; ``None`` is the chat room."""
        spot = (day or self.today, key_hash, model, provider)
        nano, byok_nano = (value if isinstance(value, int) else nanos(value) for value in (cost, byok))
        more = Use(requests, 10 * requests, 20 * requests, nano, byok_nano)
        self.usage[spot] = self.usage.get(spot, Use()) + more
        used_at = self.now if day in {None, self.today} else datetime.combine(spot[0], time(12), UTC)
        self.last_used[key_hash] = max(self.last_used.get(key_hash, used_at), used_at)

    def correct(self, spot: Spot, use: Use | None, *, is_counted: bool = True) -> None:
        """Tell a completed day otherwise from now on; ``None``: the row is gone."""
        before = self.usage.pop(spot, Use())
        if use is not None:
            self.usage[spot] = use
        if not is_counted and spot[1] is not None:
            lost = before.cost_nano - (use or Use()).cost_nano
            self.unknown_to_counters[spot[1]] = self.unknown_to_counters.get(spot[1], 0) + lost

    def spent(self, *, day: date | None = None, key_hash: str | None = "any") -> Use:
        """The sum of a day, of a key, or of all."""
        return sum(
            (
                use
                for (when, who, _, _), use in self.usage.items()
                if day in {None, when} and key_hash in {"any", who}
            ),
            Use(),
        )

    # What is asked of it.

    def asked(self, path: str) -> list[Json]:
        return [params for asked, params in self.requests if asked == path]

    def hashes_asked(self) -> list[str]:
        """The keys whose completed days were asked for."""
        return [params["api_key_hash"] for params in self.asked("/activity") if "api_key_hash" in params]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        secret = request.headers["Authorization"].removeprefix("Bearer ")
        params: Json = json.loads(request.content) if request.content else dict(request.url.params)
        with self._lock:
            self.requests.append((path, params))
            self.clock.advance(seconds=self.seconds_each)
            if self.dies_after is not None:
                self.dies_after -= 1
                if self.dies_after < 0:
                    raise KeyboardInterrupt
            response = self._answer(path, secret, params)
        response.headers["Date"] = format_datetime(self.now, usegmt=True)
        return response

    def _answer(self, path: str, secret: str, params: Json) -> httpx.Response:
        if secret in self.revoked:
            return refusal(401)
        if path in self.missing:
            return refusal(self.missing[path])
        for spot in (params.get("api_key_hash"), path):
            if spot in self.failing:
                how = self.failing[spot]
                return (
                    refusal(how)
                    if isinstance(how, int)
                    else httpx.Response(how.status_code, content=how.content)
                )
        if path == "/models":
            models = sorted({spot[2] for spot in self.usage})
            return data(
                [
                    {
                        "id": model,
                        "canonical_slug": permaslug(model),
                        "expiration_date": self.retirements[model].isoformat()
                        if model in self.retirements
                        else None,
                    }
                    for model in models
                ]
            )
        if path == "/key":
            return self._key(secret)
        answers: dict[str, Callable[[Json], httpx.Response]] = {
            "/workspaces": self._workspaces,
            "/keys": self._keys,
            "/activity": self._activity,
            "/analytics/query": self._analytics,
            "/credits": lambda _: data(
                {"total_credits": self.bought_usd, "total_usage": usd(self.spent().cost_nano)}
            ),
        }
        budgets = self.budgets.get(path.removeprefix("/workspaces/").removesuffix("/budgets"))
        if budgets is not None:
            answers[path] = lambda _: data(budgets)
        if path not in answers:
            return refusal(404)
        if secret not in self.managers:
            return refusal(403, "Only management keys can perform this operation")
        return answers[path](params)

    def _key(self, secret: str) -> httpx.Response:
        if secret in self.managers:
            return data(
                {"label": "m", "usage": 0, "usage_daily": 0, "is_management_key": True, **self.told_of_owner}
            )
        key = self.keys.get(hash_secret(secret))
        if key is None or key.is_deleted:
            return refusal(401)
        return data({**self._facts(key), **self.told_to_keys})

    def _facts(self, key: ServerKey) -> Json:
        life = self.spent(key_hash=key.key_hash)
        today = self.spent(day=self.today, key_hash=key.key_hash)
        return {
            "label": "sk-or-v1-0e6...1c96",
            "usage": usd(life.cost_nano + self.unknown_to_counters.get(key.key_hash, 0)),
            "usage_daily": usd(today.cost_nano),
            "byok_usage": usd(life.byok_nano),
            "byok_usage_daily": usd(today.byok_nano),
            **key.more,
        }

    def _workspaces(self, _: Json) -> httpx.Response:
        spaces = [{"id": number, "name": f"space {number[-1]}", "slug": "s"} for number in self.workspaces]
        return data(spaces)

    def _keys(self, params: Json) -> httpx.Response:
        wanted = params.get("workspace_id", DEFAULT_WORKSPACE)
        with_expired = params.get("include_expired") == "true"
        if with_expired and not self.knows_expired:
            return refusal(400, "unknown parameter include_expired")
        listed = [
            {
                "hash": key.key_hash,
                "name": key.name,
                "disabled": key.is_disabled,
                "workspace_id": key.workspace,
                "created_at": key.created_at.isoformat(),
                **({"last_used_at": self._last_used(key)} if self.tells_last_use else {}),
                **self._facts(key),
            }
            for key in self.keys.values()
            if key.workspace == wanted and not key.is_deleted and (with_expired or not self._is_expired(key))
        ]
        if params.get("offset") == self.failing_offset:
            return refusal(500)
        offset = int(params.get("offset", 0))
        return data(listed[offset : offset + 100])

    def _last_used(self, key: ServerKey) -> str | None:
        used_at = self.last_used.get(key.key_hash)
        return None if used_at is None else used_at.isoformat()

    def _is_expired(self, key: ServerKey) -> bool:
        expires_at = key.more.get("expires_at")
        return expires_at is not None and datetime.fromisoformat(expires_at) <= self.now

    def _activity(self, params: Json) -> httpx.Response:
        if params.get("date") == self.today.isoformat():
            return refusal(400, "date must be a completed day")
        return data(self.activity(params))

    def activity(self, params: Json) -> list[Json]:
        """The rows that ``GET /activity`` answers with."""
        since, until = self.today - timedelta(days=30), self.today - timedelta(days=1)
        if "date" in params and not self.ignores_filters:
            since = until = date.fromisoformat(params["date"])
        key = self.keys.get(params.get("api_key_hash", ""))
        if self.forgets_deleted_keys and key is not None and key.is_deleted:
            return []
        items = []
        for number, (spot, use) in enumerate(sorted(self.usage.items(), key=repr)):
            day, who, model, provider = spot
            wanted = None if self.ignores_filters else params.get("api_key_hash")
            if since <= day <= until and wanted in {None, who}:
                items += endpoints(day, model, provider, use, number)
        return items

    def _analytics(self, body: Json) -> httpx.Response:
        since, until = (
            datetime.fromisoformat(body["time_range"][end]).date() for end in ("start", "end")
        )  # the end is exclusive
        if self.too_heavy_days is not None and (until - since).days > self.too_heavy_days:
            return refusal(408, "the query is too heavy")
        hashes = None if self.ignores_filters else _filtered(body)
        groups: dict[tuple[date, str, str | None], Use] = {}
        for (day, who, model, _), use in self.usage.items():
            if not max(since, self.today - timedelta(days=365)) <= day < until:
                continue
            if hashes is not None and (who not in hashes or who in self.unresolved):
                continue
            name = None
            if "api_key_id" in body["dimensions"]:
                name = "Chatroom" if who is None else self.keys[who].name
            group = (day, permaslug(model), name)
            groups[group] = groups.get(group, Use()) + use
        rows = [
            {
                "date__day": f"{day}T00:00:00Z",
                "model": model,
                **({"api_key_id": name} if "api_key_id" in body["dimensions"] else {}),
                "request_count": str(use.requests),
                "tokens_prompt": str(use.tokens_input),
                "tokens_completion": use.tokens_output,
                "reasoning_tokens": "0",
                "cached_tokens": None,
                "credits_usage": usd(use.cost_nano) if use.cost_nano else None,
                "byok_usage": usd(use.byok_nano) if use.byok_nano else None,
            }
            for (day, model, name), use in groups.items()
        ]
        limit = min(self.max_rows, body["limit"])
        metadata = {"row_count": len(rows[:limit]), "truncated": len(rows) > limit}
        warnings = [self.warning.format(each) for each in sorted(self.unresolved & set(hashes or ()))]
        return data(
            {"data": rows[:limit], "metadata": metadata, **({"warnings": warnings} if warnings else {})}
        )


def _filtered(body: Json) -> Collection[str] | None:
    for each in body.get("filters", []):
        assert each["field"] == "api_key_id"
        return [each["value"]] if each["operator"] == "eq" else list(each["value"])
    return None


def endpoints(day: date, model: str, provider: str, use: Use, number: int) -> Iterator[Json]:
    """The rows of two endpoints of one provider, that together are this use."""
    first = Use(*(value // 3 for value in vars(use).values()))
    rest = Use(*(vars(use)[name] - vars(first)[name] for name in vars(use)))
    for place, part in enumerate((first, rest)):
        yield {
            "date": f"{day} 00:00:00" if number % 2 else f"{day}",
            "model": model,
            "model_permaslug": permaslug(model),
            "endpoint_id": f"endpoint {place}",
            "provider_name": provider,
            "usage": usd(part.cost_nano),
            "byok_usage_inference": usd(part.byok_nano),
            "requests": part.requests,
            "prompt_tokens": part.tokens_input,
            "completion_tokens": part.tokens_output,
            "reasoning_tokens": part.tokens_output,
        }


def usd(nano: int) -> Decimal:
    return from_nano(nano)


def nanos(amount: str) -> int:
    return int(Decimal(amount).scaleb(9))


def data(value: Any) -> httpx.Response:
    # Exact, as a JSON number: what binary fractions do to money is another test's matter.
    text = json.dumps({"data": value}, default=lambda amount: f"<{amount:f}>")
    return httpx.Response(200, content=text.replace('"<', "").replace('>"', ""))


def refusal(status: int, message: str = "as the API says it") -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": status, "message": message}})


class AccountWatcher:
    """A database with the management key ``boss`` of an account, and what it holds of that."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.server = store, clock, AccountServer(clock)
        self.boss = add_key(store, "boss", facts=MANAGEMENT)
        self.result: SyncResult

    def sync(self, days: int = 7, **others: Any) -> dict[str, SyncedKey]:
        """One sync as cron starts it; what came of it, by the keys' names."""
        today = self.clock.now().date()
        options = {"reaches_back": True, "until": today, **others}
        request = SyncRequest(options.pop("since", last_days(today, days)), **options)
        with respx.mock(base_url=API_URL) as router, make_client(self.clock) as client:
            router.route().mock(side_effect=self.server)
            self.progress: list[SyncProgress] = []
            self.result = sync_job.run(
                *(self.store, lambda: client, Keyring([ENCRYPTION_KEY]), request, self.clock),
                on_progress=self.progress.append,
            )
        return {key.name: key for key in self.result.keys}

    def validate(self) -> None:
        with respx.mock(base_url=API_URL) as router, make_client(self.clock) as client:
            router.route().mock(side_effect=self.server)
            validate_job.run(self.store, lambda: client, Keyring([ENCRYPTION_KEY]), self.clock)

    def clean_up(self, days: int) -> None:
        cleanup_job.run(self.store, days, self.clock)

    def next_day(self, days: int = 1, hour: int = 1) -> date:
        """Go on to a later day; which day that is."""
        day = self.clock.now().date() + timedelta(days=days)
        self.clock.current = datetime.combine(day, time(hour), UTC)
        return day

    def key(self, name: str) -> StoredKey:
        with self.store.read() as connection:
            return next(
                key for key in stored_keys.list_keys(connection, with_removed=True) if key.name == name
            )

    def key_of(self, key_hash: str) -> StoredKey:
        with self.store.read() as connection:
            key = stored_keys.find_by_hash(connection, key_hash)
        assert key is not None
        return key

    def names(self) -> set[str]:
        with self.store.read() as connection:
            return {key.name for key in stored_keys.list_keys(connection)}

    def rows(self, day: date | None = None) -> dict[tuple[str | None, ...], Use]:
        """What is stored of a day (today), by key, model and provider."""
        query = (
            "SELECT api_keys.name, models.name, providers.name, requests, tokens_input, tokens_output, "
            "cost_nano, byok_cost_nano FROM usage_stats JOIN models ON models.id = model_id "
            "JOIN providers ON providers.id = provider_id JOIN api_keys ON api_keys.id = api_key_id "
            f"WHERE date = {to_day_number(day or self.clock.now().date())}"
        )
        with self.store.read() as connection:
            return {
                tuple(names): Use(*(value or 0 for value in values))
                for *names, n1, n2, n3, n4, n5 in connection.exec_driver_sql(query)
                for values in [(n1, n2, n3, n4, n5)]
            }

    def costs(self, day: date | None = None) -> dict[str | None, Decimal]:
        """The dollars of a day (today) by key."""
        found: dict[str | None, int] = {}
        for (name, *_), use in self.rows(day).items():
            found[name] = found.get(name, 0) + use.cost_nano
        return {name: from_nano(nano) for name, nano in found.items()}

    def kept_from(self) -> date:
        """The watermark of cleanup."""
        with self.store.read() as connection:
            return ledger.kept_from(connection) or date.min

    def total_nano(self) -> int:
        """All that was ever stored of days, by month, and of spans."""
        tables = ("usage_months", "usage_spans")
        with self.store.read() as connection:
            return sum(
                connection.exec_driver_sql(f"SELECT coalesce(sum(cost_nano), 0) FROM {table}").scalar_one()
                for table in tables
            )
