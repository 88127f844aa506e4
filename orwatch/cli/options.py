"""Options that several commands have, and the types of their values."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orwatch.cli.context import Context
from orwatch.cli.notices import notice
from orwatch.domain.days import month_end
from orwatch.errors import EXIT_NEEDS_PERSON, OrwatchError, UsageError
from orwatch.text import is_terminal

if TYPE_CHECKING:
    from orwatch.store.engine.database import Store

Command = TypeVar("Command", bound=Callable[..., Any])

_SPAN = re.compile(r"(\d{1,5})([dwm])", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}", re.ASCII)

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is well; for cron.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log every request.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def json_option(command: Command) -> Command:
    """``--json``, and ``--json-schema`` for what it answers."""
    schema = click.option(
        "--json-schema",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_json_schema,
        help="Print the JSON Schema of that answer.",
    )
    return click.option("-j", "--json", "as_json", is_flag=True, help="Answer in JSON.")(schema(command))


def _show_json_schema(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from orwatch.render import json_schema

    click.echo(json_schema.text(ctx.command_path.partition(" ")[2]))
    ctx.exit()


def _refuse_nan(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("'nan' is no number of seconds.")
    return value


wait_option = click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 86_400),
    callback=_refuse_nan,
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for another run of this job to end.",
)
dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Show what would change; write nothing.")


def key_option(verb: str, *, is_known: bool = False) -> Callable[[Command], Command]:
    """``--key NAME``, any number of times, with the stored names as completions.

    ``is_known``: a removed key will do as well.
    """
    return click.option(
        "-k",
        "--key",
        "key_names",
        multiple=True,
        metavar="NAME",
        shell_complete=complete_known_name if is_known else complete_key_name,
        help=f"{verb} only this key; repeatable.",
    )


def is_agreed(question: str) -> bool:
    """The answer; yes without a terminal, as under cron, where nobody can be asked."""
    return not is_terminal(sys.stdin) or click.confirm(question, err=True)


def confirm(question: str, outcome: str) -> None:
    """Go on where the answer is yes; else say the ``outcome`` and exit with 1.

    Raises ``UsageError``, which says it as well, without a terminal.
    """
    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        if is_terminal(sys.stdin):
            raise
        raise UsageError(f"not a terminal; confirm with --yes; {outcome}") from None
    notice(outcome)
    raise click.exceptions.Exit(EXIT_NEEDS_PERSON)


def complete_key_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names of watched keys, for the shell."""
    from orwatch.jobs.key.change import list_keys

    return _complete(ctx, incomplete, lambda store: [key.name for key in list_keys(store)])


def complete_known_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names of watched keys and the labels of removed ones, for the shell."""
    from orwatch.jobs.key.change import known_names

    return _complete(ctx, incomplete, known_names)


def complete_budget_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names of budgets, for the shell."""
    from orwatch.jobs.budget.overview import budget_names

    return _complete(ctx, incomplete, budget_names)


def _complete(ctx: click.Context, incomplete: str, read: Callable[[Store], list[str]]) -> list[str]:
    """What is read of the store; nothing is created and no error shown for that."""
    try:
        with Context(ctx.find_root().params.get("env_file")) as context:
            store = context.existing_store()
            names = [] if store is None else read(store)
    except OrwatchError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def read_day(ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    """A UTC day: ``2026-11-20``, ``20261120``, ``today``, ``yesterday``, or ``7d``, ``2w``, ``3m`` ago.

    Raises click's usage error for anything else.
    """
    if value is None:
        return None
    day = parse_day(value, ctx.ensure_object(Context).today)
    if day is None:
        raise click.BadParameter(
            f"{value!r} is not a day: write 2026-11-20, 20261120, today, yesterday, 7d, 2w or 3m."
        )
    return day


def read_span(ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    """The first day of a stretch of time that ends today: ``30d``, ``2w``, ``3m``; ``all`` is ``date.min``.

    Raises click's usage error for what is no stretch of time.
    """
    if value is None:
        return None
    today = ctx.ensure_object(Context).today
    start = date.min if value.strip().lower() == "all" else span_start(value, today)
    if start is None:
        raise click.BadParameter(f"{value!r} is not a stretch of time: write 30d, 2w, 3m or all.")
    return start


def parse_day(text: str, today: date) -> date | None:
    """The day that the text names, or None."""
    text = text.strip().lower()
    if text in {"today", "yesterday"}:
        return today - timedelta(days=int(text == "yesterday"))
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        return _ago(text, today)
    except (ValueError, OverflowError):
        return None


def span_start(text: str, today: date) -> date | None:
    """The first day of the last so many days, weeks or months, today included; None for another text."""
    try:
        day = _ago(text.strip().lower(), today)
    except (ValueError, OverflowError):
        return None
    return None if day is None or day == today else day + timedelta(days=1)


def _ago(text: str, today: date) -> date | None:
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    number = int(match[1])
    if match[2] == "m":
        months = today.year * 12 + today.month - 1 - number
        first = date(months // 12, months % 12 + 1, 1)
        # Three months before 31 May is the last day of February.
        return first.replace(day=min(today.day, month_end(first).day))
    return today - timedelta(days=number * (7 if match[2] == "w" else 1))
