"""What a management key can read of its account: workspaces, keys, usage, credits."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote

from orwatch.domain.days import days_between
from orwatch.domain.keys import Credits, ListedKey, Workspace
from orwatch.domain.layers import WorkspaceBudget
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, ApiUnavailableError, UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    Activity,
    Analytics,
    ModelList,
    parse_activity,
    parse_analytics,
    parse_credits,
    parse_keys,
    parse_models,
    parse_workspace_budgets,
    parse_workspaces,
)
from orwatch.openrouter.sources import fetch_key_facts

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# `GET /models` is public; a header has to be sent all the same.
NO_SECRET = "none"  # noqa: S105

ACTIVITY_DAYS = 30  # completed days that GET /activity answers for
ANALYTICS_DAYS = 365  # that POST /analytics/query does, by day
MAX_ANALYTICS_ROWS = 10_000

# Of a larger answer each day is read by itself: as objects it takes four times as much memory as its text.
MOST_BYTES_AT_ONCE = 6_000_000

_MAX_PAGES = 1_000
_MAX_LISTED = 200_000  # of an account; more would take all memory
_PAGE_LENGTH = 100
_WORKSPACES_A_PAGE = 50  # where a server does not know the limit that it is asked for

Item = TypeVar("Item")

log = logging.getLogger(__name__)

_METRICS = (
    "request_count",
    "tokens_prompt",
    "tokens_completion",
    "reasoning_tokens",
    "cached_tokens",
    "credits_usage",
    "byok_usage",
)


@dataclass(frozen=True, slots=True)
class AccountListing:
    """The keys of an account at one moment.

    ``account_id`` None: nothing tells this account from others. Without ``workspaces`` these are the keys of
    the default one.
    """

    account_id: str | None
    keys: tuple[ListedKey, ...]
    answered_at: datetime
    workspaces: tuple[Workspace, ...] = ()

    @property
    def has_workspaces(self) -> bool:
        """Whether the workspaces were listed."""
        return bool(self.workspaces)


def fetch_listing(client: Client, secret: str) -> AccountListing:
    """Every key of every workspace, disabled and expired ones too: ``GET /workspaces``, then ``GET /keys``.

    Raises ``ApiError``, also for a list that is not whole: the keys it lacks would seem to be deleted.
    """
    workspaces = _fetch_workspaces(client, secret)
    names = {workspace.id: workspace.name for workspace in workspaces}
    found: dict[str, ListedKey] = {}
    answers: list[datetime] = []
    included = {"include_disabled": "true", "include_expired": "true"}

    def ask(workspace_id: str | None, offset: int) -> _Page[ListedKey]:
        params = {"offset": str(offset), **included}
        if workspace_id is not None:
            params["workspace_id"] = workspace_id
        try:
            body, answered_at = client.get_dated("/keys", secret, params)
        except ApiError as error:
            if error.status != 400 or included.pop("include_expired", None) is None:
                raise
            # A server that does not know the parameter.
            return ask(workspace_id, offset)
        answers.append(answered_at)
        return _Page([(key.key_hash, key) for key in parse_keys(body, names)])

    # Without a workspace's id the answer is the default workspace's keys.
    wanted: list[str | None] = [*names] or [None]
    for workspace_id in wanted:
        _read_pages("/keys", partial(ask, workspace_id), found, _PAGE_LENGTH)
    if len({answered_at.date() for answered_at in answers}) > 1:
        # The counters of the first pages are those of the day before.
        raise ApiUnavailableError("GET /keys was answered partly before and partly after midnight UTC")
    account_id = min(names) if names else _fetch_account_id(client, secret)
    return AccountListing(account_id, tuple(found.values()), answers[-1], tuple(workspaces))


def _fetch_account_id(client: Client, secret: str) -> str | None:
    """Whose key it is: the organization's, or that of the user who made it (``GET /key``)."""
    try:
        return fetch_key_facts(client, secret).account_id
    except ApiError as error:
        log.info("GET /key: %s", error)
        return None


def _fetch_workspaces(client: Client, secret: str) -> list[Workspace]:
    """All workspaces; none where the server has no such list, or keeps it from this key."""
    found: dict[str, Workspace] = {}

    def ask(offset: int) -> _Page[Workspace]:
        params = {"offset": str(offset), "limit": str(_PAGE_LENGTH)}
        workspaces, total = parse_workspaces(client.get("/workspaces", secret, params))
        return _Page([(workspace.id, workspace) for workspace in workspaces], total)

    try:
        _read_pages("/workspaces", ask, found, _WORKSPACES_A_PAGE)
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return []
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Page(Generic[Item]):
    """Some items of a list with their ids, and how many the whole list has, where the server says so."""

    items: Sequence[tuple[str, Item]]
    total: int | None = None


def _read_pages(
    path: str, ask: Callable[[int], _Page[Item]], found: dict[str, Item], page_length: int
) -> None:
    """Add a whole list to ``found``, page by page; ``ask`` returns the page at an offset."""
    offset = 0
    last_id = None
    for _ in range(_MAX_PAGES):
        page = ask(offset)
        # Each page begins with the last item of the one before: one deleted meanwhile would move all others.
        if last_id is not None and last_id not in {number for number, _ in page.items}:
            raise ApiUnavailableError(
                f"the account's {path[1:]} changed while GET {path} was read page by page"
            )
        count_before = len(found)
        for number, item in page.items:
            found.setdefault(number, item)
        if len(found) > _MAX_LISTED:
            raise UnexpectedAnswerError(f"GET {path} lists more than {_MAX_LISTED:,} {path[1:]}")
        is_last = len(page.items) < page_length if page.total is None else len(found) >= page.total
        # A server that knows no offset answers with the first page again.
        if is_last or len(found) == count_before:
            if page.total is not None and len(found) < page.total:
                raise UnexpectedAnswerError(f"GET {path} lists {len(found)} of {page.total} {path[1:]}")
            return
        offset += len(page.items) - 1
        last_id = page.items[-1][0]
    raise UnexpectedAnswerError(f"GET {path} has more than {_MAX_PAGES:,} pages")


def fetch_activity(
    client: Client, secret: str, since: date, until: date, key_hash: str | None = None
) -> Activity:
    """One of the last 30 completed days, or all of them, by model and provider: of one key or of the account.

    Raises ``ApiError``.
    """
    return parse_activity(_ask_activity(client, secret, since, until, key_hash), since, until)


def _ask_activity(
    client: Client, secret: str, since: date, until: date, key_hash: str | None = None
) -> bytes:
    params = {} if key_hash is None else {"api_key_hash": key_hash}
    if since != until:
        return client.get("/activity", secret, params)
    try:
        return client.get("/activity", secret, {**params, "date": since.isoformat()})
    except ApiError as error:
        if error.status != 400:
            raise
        # A day that by now is none of the last 30, or a server that does not know the parameter.
        return client.get("/activity", secret, params)


def fetch_activity_by_day(client: Client, secret: str, since: date, until: date) -> Activity:
    """As ``fetch_activity`` of an account, by a request for each day where one answer would be too large.

    The rows are of endpoints: how many keys an account has says little of that, and its last day all.
    Raises ``ApiError``.
    """
    last = _ask_activity(client, secret, until, until)
    days = list(days_between(since, until))
    if len(last) * len(days) <= MOST_BYTES_AT_ONCE:
        return fetch_activity(client, secret, since, until)
    answers = []
    names: dict[str, str] = {}
    for day in days:
        body = last if day == until else _ask_activity(client, secret, day, day)
        found = parse_activity(body, day, day)
        if any(row.is_outside_window for row in found.answer.rejected):
            # A server that does not know the parameter, and answers with all days each time.
            return fetch_activity(client, secret, since, until)
        answers.append(found.answer)
        # As within one answer, a plain name stands for those of variants.
        names |= {dated: name for dated, name in found.model_names.items() if ":" in names.get(dated, ":")}
    rows = tuple(row for answer in answers for row in answer.rows)
    rejected = tuple(row for answer in answers for row in answer.rejected)
    return Activity(UsageAnswer(UsageSource.ACTIVITY, since, until, rows, rejected), names)


def fetch_analytics(
    client: Client,
    secret: str,
    since: date,
    until: date,
    *,
    by_key: bool,
    key_hashes: Sequence[str] = (),
) -> Analytics:
    """Usage by day and model, and by the name of the key if ``by_key``; ``since`` and ``until`` inclusive.

    ``key_hashes``: of these keys only. Raises ``ApiError``: ``TruncatedAnswerError`` or
    ``QueryTooHeavyError`` when less has to be asked for at once.
    """
    body = {
        "metrics": _METRICS,
        "dimensions": ["model", "api_key_id"] if by_key else ["model"],
        "granularity": "day",
        "time_range": {
            "start": f"{since}T00:00:00Z",
            "end": f"{until + timedelta(days=1)}T00:00:00Z",
        },
        "limit": MAX_ANALYTICS_ROWS,
    }
    if key_hashes:
        is_one = len(key_hashes) == 1
        body["filters"] = [
            {
                "field": "api_key_id",
                "operator": "eq" if is_one else "in",
                "value": key_hashes[0] if is_one else list(key_hashes),
            }
        ]
    answer = client.query("/analytics/query", secret, json.dumps(body).encode())
    return parse_analytics(answer, since, until, MAX_ANALYTICS_ROWS)


def fetch_credits(client: Client, secret: str) -> Credits:
    """What the account has bought and spent (``GET /credits``). Raises ``ApiError``."""
    return parse_credits(client.get("/credits", secret))


def fetch_workspace_budgets(client: Client, secret: str, workspace: Workspace) -> tuple[WorkspaceBudget, ...]:
    """What the keys of a workspace may spend together (``GET /workspaces/{id}/budgets``).

    Raises ``ApiError``: with the status 403 or 404 where the plan has no such budgets.
    """
    path = f"/workspaces/{quote(workspace.id, safe='')}/budgets"
    return parse_workspace_budgets(client.get(path, secret), workspace)


def fetch_models(client: Client, secret: str) -> ModelList:
    """The list of all models (``GET /models``), which is public. Raises ``ApiError``."""
    return parse_models(client.get("/models", secret))
