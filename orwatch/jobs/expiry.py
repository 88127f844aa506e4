"""What to say of keys that expire. Apart from validate, so that status does not load the HTTP client."""

from __future__ import annotations

from datetime import datetime, timedelta

EXPIRY_WARNING = timedelta(days=7)


def expiry_warning(expires_at: datetime | None, now: datetime) -> str | None:
    """What to say of a key that has expired or soon will; None for any other."""
    if expires_at is None or expires_at - now > EXPIRY_WARNING:
        return None
    if expires_at <= now:
        return f"the key expired at {expires_at:%Y-%m-%d %H:%M} UTC"
    return f"the key expires at {expires_at:%Y-%m-%d %H:%M} UTC"
