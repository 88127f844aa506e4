"""What is wrong with a key, in words: said here alone, for status and doctor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orwatch.domain.can_spend import own_limit
from orwatch.domain.keys import KeyFacts

SUCCESSOR = "Store its successor's secret with `orwatch key replace NAME`"

_LISTED_SUCCESSOR = "Create its successor at OpenRouter; the next sync finds it"


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """``message``: what is wrong. ``advice``: what to do, without a period.

    ``alert``: what the subject of an alert of the same has behind the key's.
    """

    message: str
    advice: str
    alert: str = ""

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


REFUSED = KeyProblem("OpenRouter refuses it", f"{SUCCESSOR}, or remove or disable this one", ":invalid")


def problem_of(
    facts: KeyFacts, now: datetime, *, has_secret: bool, read_at: datetime | None = None
) -> KeyProblem | None:
    """A limit that is used up, or a time that is over or soon will be.

    ``has_secret``: it is stored here. ``read_at``: when the facts were read; None: just now.
    """
    is_expired = facts.expires_at is not None and facts.expires_at <= now
    if is_expired and not has_secret:
        # It stays listed until it is deleted; orwatch needs no successor of it.
        return None
    limit = own_limit(facts, read_at or now, now)
    is_spent = limit is not None and limit.remaining_usd is not None and limit.remaining_usd <= 0
    if is_spent and not is_expired:
        reset = f"it resets {facts.limit_reset}" if facts.limit_reset else "it never resets"
        return KeyProblem(f"its limit is used up ({reset})", "Raise it at OpenRouter, or use another key")
    warning = facts.expiry_warning(now)
    advice = SUCCESSOR if has_secret else _LISTED_SUCCESSOR
    return KeyProblem(warning, advice, ":expiring") if warning else None
