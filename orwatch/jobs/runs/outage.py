"""What a run says where the API does not answer: one message with one count, not one for each key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

# So many keys make it the API's trouble, and no longer theirs.
_LEAST_KEYS = 3

ADVICE = (
    "Is this machine online, is ORWATCH_OPENROUTER_API_URL right, is a proxy in between? "
    "See https://status.openrouter.ai for trouble at OpenRouter."
)


class _Asked(Protocol):
    """A key that was asked about. ``outage``: what its error says of the API as a whole."""

    @property
    def name(self) -> str: ...
    @property
    def outage(self) -> str | None: ...


Asked = TypeVar("Asked", bound=_Asked)


@dataclass(frozen=True, slots=True)
class CommonOutage:
    """An outage of the API that kept several keys, or all of them, from being asked about."""

    sentence: str
    names: frozenset[str]
    is_total: bool
    asked: int

    def text(self, done: str) -> str:
        """The message. ``done``: what could not be done with the keys, as in "read"."""
        count = f"{len(self.names)} of {self.asked} keys could not be {done}"
        if self.is_total:
            [first, *others] = self.names
            count = f"none of {self.asked} keys could be {done}" if others else f"{first} could not be {done}"
        return f"{self.sentence}: {count}. {ADVICE}"


def common_outage(keys: Sequence[_Asked]) -> CommonOutage | None:
    """The outage that these keys have in common, if they have one."""
    sentences = {key.name: key.outage for key in keys if key.outage is not None}
    is_total = len(sentences) == len(keys)
    if not sentences or (len(sentences) < _LEAST_KEYS and not is_total):
        return None
    [(sentence, _)] = Counter(sentences.values()).most_common(1)
    return CommonOutage(sentence, frozenset(sentences), is_total, len(keys))


def without_outage(keys: Sequence[Asked], outage: CommonOutage | None) -> list[Asked]:
    """The keys of which there is something to say that is not said of the run as a whole."""
    return [key for key in keys if outage is None or key.name not in outage.names]
