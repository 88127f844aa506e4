"""The stored models that a pattern means, and those that come near to one that means none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from orwatch.text import holding_or_nearest, nearest, printable

_NEAREST = 3


def matches(name: str, globs: Collection[str]) -> bool:
    """Whether at least one of the patterns means the model."""
    return any(fnmatchcase(name, glob) for glob in globs)


def matching(names: Mapping[int, str | None], globs: Collection[str]) -> frozenset[int]:
    """The ids of the models that at least one of the patterns means."""
    return frozenset(number for number, name in names.items() if name is not None and matches(name, globs))


def notes_on(globs: Collection[str], names: Collection[str]) -> tuple[str, ...]:
    """A note for each pattern that matches nothing, with the nearest names."""
    return tuple(
        _note(glob, names)
        for glob in dict.fromkeys(globs)
        if not any(matches(name, [glob]) for name in names)
    )


def _note(glob: str, names: Collection[str]) -> str:
    note = f"no model in the database matches {printable(glob)}"
    near = _nearest(glob, names)
    return f"{note}; the nearest: {', '.join(map(printable, near))}" if near else note


def _nearest(glob: str, names: Collection[str]) -> list[str]:
    """Those that hold what the pattern says beside its wildcards, in capitals or not; else the most alike."""
    said = glob.strip("*?")
    if found := holding_or_nearest(said, names, _NEAREST):
        return found
    # The maker alone may be misspelt: `anthropc/*`.
    makers = nearest(_maker(said), {_maker(name) for name in names})
    return [name for name in sorted(names) if _maker(name) in makers][:_NEAREST]


def _maker(name: str) -> str:
    return name.partition("/")[0].lower()
