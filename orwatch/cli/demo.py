"""``orwatch demo``: the real commands, one after the other, against a stand-in for OpenRouter."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.interruption import StoppedBySignal, interruptible
from orwatch.config.settings import PREFIX
from orwatch.errors import EXIT_NEEDS_PERSON, OrwatchError, UsageError
from orwatch.files import make_private_folder, replace_file

if TYPE_CHECKING:
    from orwatch.demo.account import FakeAccount
    from orwatch.demo.api import FakeOpenRouter

_OF_SIGNALS = 128  # an exit code above is that and the signal's number

# What 'ci' burns in a loop: $8.43, more than 80 % of its budget, whose rest a usual day never reaches.
WILD_MODEL = "openai/gpt-4.1-mini"
WILD_COUNTS = (8_500, 13_600_000, 1_870_000)
BUDGET_USD = "10"


@dataclass(frozen=True, slots=True)
class _Step:
    """A command to show: what to say before it, and the exit code with which it should end.

    ``happens_before``: what changes at the fake server before it.
    """

    arguments: tuple[str, ...]
    remark: str
    secret: str | None = None
    happens_before: Callable[[], None] = lambda: None
    exit_code: int = 0


@click.command("demo")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Leave the database and the env file in DIR, which must be empty or new.",
)
@click.option("--serve", "is_served", is_flag=True, help="Only run the server, until Ctrl-C; print its keys.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), metavar="N", help="Serve on port N instead of a free one."
)
@pass_context
def command(context: Context, keep: Path | None, is_served: bool, port: int | None) -> int:
    """Show everything with made-up data: no key, no network.

    Runs the real commands against a local stand-in for OpenRouter, with a management
    key, the five keys that it finds and a year of usage, in a temporary folder that is gone afterwards.
    Nothing of yours is read or changed.

    \b
    Examples:
      orwatch demo
      orwatch demo --keep /tmp/orwatch-demo
      orwatch demo --serve --port 8080
    """
    if is_served and keep is not None:
        raise UsageError("--serve runs no command, so there is nothing for --keep to leave.")
    if port is not None and not is_served:
        raise UsageError("--port is for --serve.")

    from orwatch.demo.account import ACCOUNT_DAYS, demo_account
    from orwatch.demo.api import FakeOpenRouter
    from orwatch.demo.server import FakeServer

    account = demo_account(context.today)
    api = FakeOpenRouter((), account=account, history_days=ACCOUNT_DAYS, serves_usage=False)
    if is_served:
        _serve(account, api, port or 0)
        return 0
    folder = (
        tempfile.TemporaryDirectory(prefix="orwatch-demo-") if keep is None else nullcontext(_empty(keep))
    )
    with folder as place, FakeServer(api.answer) as server:
        env_file = Path(place) / ".env"
        settings = (
            f"ORWATCH_DATABASE_URL=sqlite:///{env_file.parent / 'orwatch.db'}\n"
            "# The fake server ends with the demo, and made-up keys shall ask no real one.\n"
            "ORWATCH_OPENROUTER_API_URL=http://127.0.0.1:9/api/v1\n"
        )
        replace_file(env_file, settings.encode("utf-8"))
        with _environment(
            ORWATCH_ENV_FILE=str(env_file),
            ORWATCH_OPENROUTER_API_URL=server.url,
            # OpenRouter's limit does not hold for the fake server.
            ORWATCH_RATE_LIMIT_PER_MINUTE="0",
            ORWATCH_REFUSAL_WAIT_SECONDS="1",
        ):
            for step in _steps(account, api):
                step.happens_before()
                _show(step)
    if keep is not None:
        kept = shlex.quote(str(env_file))
        click.secho(f"\nKept: look around with `orwatch --env-file {kept} report`.", bold=True)
    else:
        click.secho("\nThat was made-up data. `orwatch key add NAME` starts with yours.", bold=True)
    return 0


def _serve(account: FakeAccount, api: FakeOpenRouter, port: int) -> None:
    """Answer until a signal ends it. Raises ``OrwatchError`` where the port cannot be had."""
    from orwatch.demo.server import FakeServer

    try:
        server = FakeServer(api.answer, port)
    except OSError as error:
        raise OrwatchError(
            f"cannot serve on port {port} of 127.0.0.1: {error.strerror}",
            "Choose another with --port.",
        ) from error
    workspaces = {workspace.id: workspace.name for workspace in account.workspaces}
    with suppress(StoppedBySignal), server, interruptible(0):
        click.echo(f"ORWATCH_OPENROUTER_API_URL={server.url}")
        click.echo(f"management key: {account.management_secret}")
        for key in account.keys:
            click.echo(f"{key.name} in {workspaces[account.workspace_id_of(key)]}: {key.secret}")
        click.echo("Made-up keys and data; Ctrl-C ends it.")
        signal.pause()


def _steps(account: FakeAccount, api: FakeOpenRouter) -> list[_Step]:
    """The tour."""
    hashes = {key.name: key.key_hash for key in reversed(account.keys)}
    old_laptop = next(key for key in account.keys if key.name == "old-laptop")
    return [
        _Step(
            ("key", "add", "ops"),
            "Store a management key; the secret comes from a pipe here.",
            account.management_secret,
        ),
        _Step(
            ("key", "add", "old-laptop"),
            "An ordinary key may be added, too. The account lists this one as well: it stays one key.",
            old_laptop.secret,
        ),
        _Step(
            ("sync",),
            "Find the account's keys and fetch a year of usage. Cron does this every hour. One key soon "
            "expires, and a model is to be retired: alerts say so, once.",
            exit_code=EXIT_NEEDS_PERSON,
        ),
        _Step(("sync",), "Once more: what has not changed is not written again."),
        _Step(("report",), "What did it cost, and who?"),
        _Step(
            ("validate",),
            "Somebody deletes 'old-laptop' at OpenRouter. Cron asks daily which keys are still good.",
            happens_before=lambda: api.delete(hashes["old-laptop"]),
            exit_code=EXIT_NEEDS_PERSON,
        ),
        _Step(
            ("budget", "set", "ci", "--limit", BUDGET_USD, "--per", "day", "--key", "ci"),
            "A budget of one's own: what 'ci' may cost a day.",
        ),
        _Step(
            ("sync",),
            "A job of 'ci' runs wild. The next sync says so: its budget is at 80 %, and that is no usual "
            "day. It also sees that 'old-laptop' is gone, and keeps its history.",
            happens_before=lambda: api.run_wild(hashes["ci"], WILD_MODEL, WILD_COUNTS),
            exit_code=EXIT_NEEDS_PERSON,
        ),
        _Step(("budget", "list"), "How far is it?"),
        _Step(("alert", "list"), "What holds now. Mail, a chat or a command can hear of it as well."),
        _Step(("key", "list"), "All the keys of the account."),
        _Step(
            ("status",),
            "Does everything run, does anything need me, and where will the month end?",
            exit_code=EXIT_NEEDS_PERSON,
        ),
        _Step(
            ("cleanup", "--retention-days", "90"),
            "Cron's Sunday job; with 90 days instead of 365 it has something to do here.",
        ),
        _Step(
            ("report", "--by", "month", "--last", "all"), "The monthly totals remember what cleanup removed."
        ),
    ]


def _show(step: _Step) -> None:
    """Print and run one command.

    Raises ``OrwatchError`` when it ends otherwise than it should; where a signal ended it, so does the demo.
    """
    from orwatch.cli import run

    if step.remark:
        click.secho(f"\n# {step.remark}", dim=True)
    click.secho(f"$ orwatch {shlex.join(step.arguments)}", bold=True)
    with _standard_input(step.secret or ""):
        code = run(step.arguments)
    if code > _OF_SIGNALS:
        raise click.exceptions.Exit(code)
    if code != step.exit_code:
        raise OrwatchError(f"the demo's `orwatch {shlex.join(step.arguments)}` ended with exit code {code}.")
    if code:
        click.secho(f"(exit code {code}: something needs a person)", dim=True)


@contextmanager
def _standard_input(text: str) -> Iterator[None]:
    """What a pipe would bring."""
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode("utf-8")))
    try:
        yield
    finally:
        sys.stdin = before


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    """These settings and no other."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(PREFIX):
            del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _empty(folder: Path) -> Path:
    """The folder, made if need be. Raises ``UsageError`` for one that holds anything."""
    try:
        make_private_folder(folder)
        if any(folder.iterdir()):
            raise UsageError(f"--keep {str(folder)!r}: the folder is not empty.")
    except OSError as error:
        raise UsageError(f"--keep {str(folder)!r}: {error.strerror}.") from error
    return folder.absolute()
