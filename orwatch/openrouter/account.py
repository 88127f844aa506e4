"""What a management key can read of its account: workspaces, keys, usage, credits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from orwatch.domain.keys import Credits, ListedKey
from orwatch.errors import ApiUnavailableError, EndpointMissingError, UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    Activity,
    Analytics,
    parse_activity,
    parse_analytics,
    parse_credits,
    parse_keys,
    parse_slugs,
    parse_workspaces,
)

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


ACTIVITY_DAYS = 30  # completed days that GET /activity answers for
ANALYTICS_DAYS = 365  # that POST /analytics/query does, by day
MAX_ANALYTICS_ROWS = 10_000

_MAX_PAGES = 1_000
_PAGE_LENGTH = 100

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
    """All keys of an account at one moment. ``account_id`` None: the server has no workspaces."""

    account_id: str | None
    keys: tuple[ListedKey, ...]
    answered_at: datetime


def fetch_listing(client: Client, secret: str) -> AccountListing:
    """Every key of every workspace, disabled ones included: ``GET /workspaces``, then ``GET /keys``.

    Raises ``ApiError``, also for a list that is not whole: the keys it lacks would seem to be deleted.
    """
    try:
        workspaces = parse_workspaces(client.get("/workspaces", secret))
    except EndpointMissingError:
        workspaces = []
    names = {workspace.id: workspace.name for workspace in workspaces}
    found: dict[str, ListedKey] = {}
    days: set[date] = set()
    # Without a workspace's id the answer is the default workspace's keys.
    wanted: list[str | None] = [*names] or [None]
    for workspace_id in wanted:
        answered_at = _fetch_workspace_keys(client, secret, workspace_id, names, found, days)
    if len(days) > 1:
        # The counters of the first pages are those of the day before.
        raise ApiUnavailableError("GET /keys was answered partly before and partly after midnight UTC")
    return AccountListing(min(names, default=None), tuple(found.values()), answered_at)


def _fetch_workspace_keys(
    client: Client,
    secret: str,
    workspace_id: str | None,
    names: Mapping[str, str],
    found: dict[str, ListedKey],
    days: set[date],
) -> datetime:
    offset = 0
    last_hash = None
    for _ in range(_MAX_PAGES):
        params = {"offset": str(offset), "include_disabled": "true"}
        if workspace_id is not None:
            params["workspace_id"] = workspace_id
        body, answered_at = client.get_dated("/keys", secret, params)
        days.add(answered_at.date())
        page = parse_keys(body, names)
        # Each page begins with the last key of the one before: a key deleted meanwhile would move all others.
        if last_hash is not None and last_hash not in {key.key_hash for key in page}:
            raise ApiUnavailableError("the account's keys changed while GET /keys was read page by page")
        new = [key for key in page if key.key_hash not in found]
        found.update({key.key_hash: key for key in new})
        # A server that knows no offset answers with the first page again.
        if len(page) < _PAGE_LENGTH or not new:
            return answered_at
        offset += len(page) - 1
        last_hash = page[-1].key_hash
    raise UnexpectedAnswerError(f"GET /keys has more than {_MAX_PAGES:,} pages")


def fetch_activity(client: Client, secret: str, today: date, key_hash: str | None = None) -> Activity:
    """The last 30 completed days by model and provider: of one key, or of the whole account.

    Raises ``ApiError``.
    """
    params = {} if key_hash is None else {"api_key_hash": key_hash}
    since, until = today - timedelta(days=ACTIVITY_DAYS), today - timedelta(days=1)
    return parse_activity(client.get("/activity", secret, params), since, until)


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


def fetch_slugs(client: Client, secret: str) -> dict[str, str]:
    """The plain slugs of all models by their permaslugs (``GET /models``). Raises ``ApiError``."""
    return parse_slugs(client.get("/models", secret))
