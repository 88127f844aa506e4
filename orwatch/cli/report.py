"""``orwatch report``."""

from __future__ import annotations

import errno
import os
import stat
import sys
from datetime import date
from pathlib import Path

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import json_option, key_option, read_day, read_span, span_start
from orwatch.config.own_files import refuse_own_file
from orwatch.domain.usage import Dimension
from orwatch.errors import TryAgainError, UsageError
from orwatch.files import regular_file, replace_file
from orwatch.jobs.report.result import ReportResult
from orwatch.text import is_terminal

_DEFAULT_SPAN = "30d"
_FORMS = {".svg": "svg", ".csv": "csv", ".json": "json", ".txt": "text", "": "text"}
_LONGEST_START = 1000  # enough to tell what a file is


@click.command("report")
@click.option(
    "-b",
    "--by",
    "by",
    type=click.Choice([dimension.value for dimension in Dimension]),
    multiple=True,
    help="Group by this column; repeatable.",
)
@click.option("-s", "--since", callback=read_day, metavar="DAY", help="The first day of the report.")
@click.option(
    "-u", "--until", callback=read_day, metavar="DAY", help="The last day of the report (default: today)."
)
@click.option(
    "-l",
    "--last",
    callback=read_span,
    metavar="SPAN",
    help="The last days, weeks or months: 30d (the default), 2w, 3m, or all.",
)
@key_option("Count", is_known=True)
@click.option(
    "-m",
    "--model",
    "model_globs",
    multiple=True,
    metavar="GLOB",
    help="Count only these models, such as 'openai/*'; repeatable.",
)
@click.option(
    "-t",
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Only the N rows that cost most, or are first by --sort; the rest as one.",
)
@click.option("-o", "--sort", metavar="COLUMN", help="Order by this column: cost, requests, model, …")
@click.option(
    "--columns",
    metavar="LIST",
    help="Show these columns: tokens, prices, all, or names with commas between, such as cost,cache_rate.",
)
@click.option("--exact", is_flag=True, help="Show all digits, and models with their makers, as in a pipe.")
@json_option
@click.option("-c", "--csv", "as_csv", is_flag=True, help="Answer in CSV.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE; its ending chooses the form: .svg, .csv, .json or .txt. - is standard output.",
)
@click.option("--force", is_flag=True, help="Let FILE be replaced, even where it is no such report.")
@pass_context
def command(
    context: Context,
    by: tuple[str, ...],
    since: date | None,
    until: date | None,
    last: date | None,
    key_names: tuple[str, ...],
    model_globs: tuple[str, ...],
    top: int | None,
    sort: str | None,
    columns: str | None,
    exact: bool,
    as_json: bool,
    as_csv: bool,
    output: Path | None,
    force: bool,
) -> None:
    """Show what was used and what it cost.

    Without options: the last 30 days by day, and the models and keys that cost most. Days are UTC days,
    weeks start on Monday. A dash is unknown, for no sync read that time; zero is no usage.

    \b
    Examples:
      orwatch report
      orwatch report --by key --by model --last 7d --top 10
      orwatch report --by month --last all --json
      orwatch report --by day --model 'anthropic/*' --csv --output usage.csv
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other.")
    if output == Path():
        raise UsageError("the name of the --output file is empty.")
    if sort is not None and Path(sort).suffix in _FORMS.keys() - {""}:
        raise UsageError(f"-o is --sort, and {sort!r} is no column. A file is named with --output.")
    form = "json" if as_json else "csv" if as_csv else _form(output)
    # A plain text may well hold either.
    if output is not None and _FORMS.get(output.suffix.lower(), "text") not in {"text", form}:
        raise UsageError(
            f"--{form} and --output {str(output)!r} contradict each other.",
            f"Drop --{form}, or name a file that ends in .{form}.",
        )
    from orwatch.jobs.report import run as report_job
    from orwatch.jobs.report.columns import read_columns

    is_file = bool(as_json or as_csv or output)
    is_screen = not is_file and is_terminal(sys.stdout)
    chosen = None if columns is None else read_columns(columns)
    first, final = _window(context, since, until, last)
    request = report_job.ReportRequest(
        since=first,
        until=final,
        by=tuple(dict.fromkeys(Dimension(value) for value in by)),
        key_names=key_names,
        model_globs=model_globs,
        top=top,
        sort=sort,
        columns=chosen,
        now=context.now,
        with_headline=is_screen or form in {"json", "svg"},
    )
    result = report_job.run(context.store, request)
    if is_file:
        text = _text(result, form, is_exact=exact)
        if output is None or str(output) == "-":
            click.echo(text, nl=not text.endswith("\n"))
        else:
            refuse_own_file(output, context.settings)
            _write(output, text, form, result.columns, is_forced=force)
        return
    from orwatch.render import console
    from orwatch.render import report as render

    console.show(render.view(result, for_screen=is_screen, is_exact=exact))


def _form(output: Path | None) -> str:
    """The form that a file's ending stands for. Raises ``UsageError`` for any other ending."""
    ending = output.suffix.lower() if output else ""
    if ending not in _FORMS:
        *known, last = filter(None, _FORMS)
        raise UsageError(
            f"--output {str(output)!r}: cannot write {ending}; use {', '.join(known)} or {last}. "
            "With --json or --csv any name will do."
        )
    return _FORMS[ending]


def _window(
    context: Context, since: date | None, until: date | None, last: date | None
) -> tuple[date | None, date]:
    if last is not None:
        if since is not None or until is not None:
            raise UsageError("--last and --since/--until exclude each other.")
        return (None if last == date.min else last), context.today
    final = min(until or context.today, context.today)
    return since or span_start(_DEFAULT_SPAN, final), final


def _text(result: ReportResult, form: str, *, is_exact: bool) -> str:
    from orwatch.render import console
    from orwatch.render import report as render

    if form == "json":
        return render.as_json(result) + "\n"
    if form == "csv":
        return render.as_csv(result)
    if form == "svg":
        return console.as_svg(render.view(result, for_screen=True, is_exact=is_exact), "orwatch report")
    return console.as_text(render.view(result))


def _write(output: Path, text: str, form: str, columns: tuple[str, ...] | None, *, is_forced: bool) -> None:
    """Exchange a report that is there, whole or not at all."""
    try:
        there = regular_file(output)
        if there is not None and there.st_size and not is_forced:
            _check_kind(output, form, columns)
        mode = _mode_of_new_file() if there is None else stat.S_IMODE(there.st_mode)
        replace_file(output, text.encode("utf-8"), mode)
    except OSError as error:
        message = f"cannot write {str(output)!r}: {error.strerror}."
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
            raise TryAgainError(message) from error
        raise UsageError(message) from error


def _check_kind(output: Path, form: str, columns: tuple[str, ...] | None) -> None:
    """Raises ``UsageError`` for a file that is no report of this form."""
    from orwatch.render import report as render

    with output.open("rb") as file:
        start = file.read(_LONGEST_START).decode("utf-8", "replace")
    if not render.is_report(start, form, columns):
        raise UsageError(
            f"{str(output)!r} is there and is no report of the form {form}. "
            "Name another file, or replace it with --force."
        )


def _mode_of_new_file() -> int:
    """For all to read where the umask lets them, and for its owner alone to write."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o644 & ~umask
