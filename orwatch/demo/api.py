"""OpenRouter's API over made-up usage: what each endpoint answers to which key.

Ordinary keys only, so far: the management endpoints refuse them as the real ones do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256

from orwatch.demo.server import Json, Request, Response, error_response, json_response
from orwatch.demo.usage import CI, OLD_LAPTOP, PRODUCTION, StandInKey, StandInUsage, usage_of
from orwatch.models import ZERO

HISTORY_DAYS = 30
CI_EXPIRES_AFTER_DAYS = 5

_MANAGEMENT_ENDPOINTS = frozenset(
    {
        ("GET", "/activity"),
        ("GET", "/credits"),
        ("GET", "/keys"),
        ("GET", "/workspaces"),
        ("POST", "/analytics/query"),
    }
)


def demo_keys(today: date) -> tuple[StandInKey, ...]:
    """The keys of the demo: ``production`` (with a monthly limit), ``ci`` (expires soon), ``old-laptop``."""
    expiry_day = today + timedelta(days=CI_EXPIRES_AFTER_DAYS)
    return (
        StandInKey(
            "production",
            _demo_secret("production"),
            PRODUCTION,
            limit_usd=Decimal(300),
            limit_reset="monthly",
        ),
        StandInKey("ci", _demo_secret("ci"), CI, expires_at=datetime.combine(expiry_day, time(12), UTC)),
        StandInKey("old-laptop", _demo_secret("old-laptop"), OLD_LAPTOP),
    )


def utc_today() -> date:
    """The current UTC day."""
    return datetime.now(UTC).date()


class StandInApi:
    """The keys, and the answers to what is asked with them. Safe to use from several threads at once.

    The keys' life begins ``history_days`` back, the day on which this is made included, and goes on as
    ``today`` moves.
    """

    def __init__(
        self,
        keys: Iterable[StandInKey],
        *,
        today: Callable[[], date] = utc_today,
        history_days: int = HISTORY_DAYS,
    ) -> None:
        self._today = today
        self._first_day = today() - timedelta(days=history_days - 1)
        self._lock = threading.Lock()
        self._keys = {key.secret: key for key in keys}
        self._endpoints = {
            ("GET", "/key"): self._answer_key,
            ("GET", "/auth/key"): self._answer_key,
            ("GET", "/usage"): self._answer_usage,
        }

    def revoke(self, name: str) -> None:
        """From now on the key of that name gets 401. Raises ``LookupError`` when there is none."""
        with self._lock:
            for secret, key in self._keys.items():
                if key.name == name:
                    self._keys[secret] = replace(key, is_revoked=True)
                    return
        raise LookupError(f"there is no key named {name!r}")

    def answer(self, request: Request) -> Response:
        """What OpenRouter would answer, errors included."""
        endpoint = (request.method, request.path)
        if endpoint not in self._endpoints and endpoint not in _MANAGEMENT_ENDPOINTS:
            return error_response(404, "Not Found")
        if request.secret is None:
            return error_response(401, "No auth credentials found")
        today = self._today()
        with self._lock:
            key = self._keys.get(request.secret)
        if key is None or key.is_revoked or _is_expired(key, today):
            return error_response(401, "User not found.")
        if endpoint in _MANAGEMENT_ENDPOINTS:
            return error_response(403, "Only management keys can perform this operation")
        return self._endpoints[endpoint](request, key, today)

    def _answer_key(self, _request: Request, key: StandInKey, today: date) -> Response:
        rows = self._usage(key, self._first_day, today)
        periods = {
            "lifetime": self._first_day,
            "daily": today,
            "weekly": today - timedelta(days=today.weekday()),
            "monthly": today.replace(day=1),
        }
        usage = {
            period: sum((row.cost_usd for row in rows if row.day >= since), ZERO)
            for period, since in periods.items()
        }
        remaining = None if key.limit_usd is None else key.limit_usd - usage[key.limit_reset or "lifetime"]
        data: dict[str, Json] = {
            "label": f"{key.secret[:12]}...{key.secret[-3:]}",
            "usage": usage["lifetime"],
            "usage_daily": usage["daily"],
            "usage_weekly": usage["weekly"],
            "usage_monthly": usage["monthly"],
            "byok_usage": 0,
            "byok_usage_daily": 0,
            "byok_usage_weekly": 0,
            "byok_usage_monthly": 0,
            "limit": key.limit_usd,
            "limit_remaining": remaining,
            "limit_reset": key.limit_reset,
            "include_byok_in_limit": False,
            "expires_at": None if key.expires_at is None else _time_text(key.expires_at),
            "is_free_tier": key.is_free_tier,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": "user_demo",
            "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
        }
        return json_response({"data": data})

    def _answer_usage(self, request: Request, key: StandInKey, today: date) -> Response:
        days = []
        for name in ("start_date", "end_date"):
            day = _parse_day(request.query.get(name, ""))
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

    def _usage(self, key: StandInKey, since: date, until: date) -> list[StandInUsage]:
        days = (since + timedelta(days=count) for count in range((until - since).days + 1))
        return [row for day in days for row in usage_of(key, day)]


def _is_expired(key: StandInKey, today: date) -> bool:
    # ``today`` has no time of day: a key is good through the day on which it expires.
    return key.expires_at is not None and key.expires_at.astimezone(UTC).date() < today


def _time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_day(text: str) -> date | None:
    """A day in the one form that the API takes; Python would read ``20261120`` and ``2026-W47-5``, too."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def _demo_secret(name: str) -> str:
    return f"sk-or-v1-{sha256(f'orwatch demo {name}'.encode()).hexdigest()}"
