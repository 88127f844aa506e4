"""The command line: a lazy click group. A command's module is imported only when that command runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from orwatch import __version__
from orwatch.cli import notices
from orwatch.cli.interruption import StoppedBySignal
from orwatch.errors import (
    EXIT_BUG,
    EXIT_TRY_AGAIN,
    LockHeldError,
    OrwatchError,
    UsageError,
    WrongSettingsError,
)
from orwatch.redaction import presentable, redact
from orwatch.text import has_secret, nearest, printable

EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
COMPLETION_VARIABLE = "_ORWATCH_COMPLETE"

# Each command with its help's first line, so that `orwatch --help` imports none of them (a test compares).
COMMANDS = {
    "init": "Create the data folder, the database and an encryption key.",
    "key": "Add, list and change the API keys that are watched.",
    "sync": "Fetch the usage of every active key into the database.",
    "validate": "Ask OpenRouter about every key and deactivate invalid ones.",
    "cleanup": "Move usage past the retention to the monthly totals.",
    "report": "Show what was used and what it cost.",
    "budget": "Set budgets of your own, and see how much of them is spent.",
    "status": "Show the state of the jobs, the keys and the spending.",
    "alert": "See what raised an alert, and acknowledge it.",
    "doctor": "Check that everything is right, and say what to do where it is not.",
    "runs": "Show the history of runs.",
    "cron": "Put the jobs into cron or systemd, show and remove them.",
    "db": "Look after the database: what is in it, check, back up, restore, copy.",
    "secret": "Manage the encryption key.",
    "demo": "Show everything with made-up data: no key, no network.",
    "help": "Explain a topic: cron, settings, sources, trouble and more.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"orwatch.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, from names and first lines alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """As click does; that another run holds the lock is no word to one that is to be quiet."""
        try:
            return super().invoke(ctx)
        except LockHeldError as error:
            if ctx.obj.is_quiet:
                raise click.exceptions.Exit(error.exit_code) from error
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for one that does not exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = nearest(args[0], COMMANDS)
            if not near or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--env-file",
    metavar="FILE",
    help="Read settings from FILE instead of ~/.config/orwatch/.env.",
)
@click.pass_context
def cli(ctx: click.Context, env_file: str | None) -> None:
    """Watch what OpenRouter costs: every key's usage, kept in your own database.

    \b
    Start with:
      orwatch demo               see it all with made-up data
      orwatch key add NAME       store a key (asks for the secret)
      orwatch sync --days 30     fetch what OpenRouter still knows
      orwatch report             see what it cost
      orwatch help               what there is to read about
    """
    from orwatch.cli.context import Context

    ctx.obj = ctx.with_resource(Context(env_file))
    if ctx.invoked_subcommand is None:
        from orwatch.cli import overview

        overview.show(ctx.obj)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Expected failures become a line on standard error here."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # what the terminal cannot show is no reason to fail
    _forbid_core_dumps()
    if COMPLETION_VARIABLE in os.environ:
        from orwatch.cli import completion

        completion.register()
    words = sys.argv[1:] if arguments is None else arguments
    with notices.as_asked(words) as is_json:
        return _run(words, _fail_in_json if is_json else _fail)


def _run(words: Sequence[str], fail: Callable[[OrwatchError, int], int]) -> int:
    try:
        _refuse_secrets(words)
        code = cli.main(words, prog_name="orwatch", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except StoppedBySignal as stop:
        return fail(OrwatchError(f"{stop}; {stop.outcome}"), stop.exit_code)
    except click.Abort:
        return fail(OrwatchError("interrupted."), EXIT_INTERRUPTED)
    except click.ClickException as error:
        if _is_help(error):
            error.show()
            return error.exit_code
        return fail(_worded(error), error.exit_code)
    except OrwatchError as error:
        return fail(error, error.exit_code)
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except SystemExit as error:
        # click and rich turn a broken pipe into an exit with 1; the shell's completion exits too.
        if error.code != 1 or COMPLETION_VARIABLE in os.environ:
            raise
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        # Everything else that touches files says what it was doing; what is left is standard output.
        _silence_stdout()
        return fail(OrwatchError(f"cannot write: {error.strerror or error}."), EXIT_TRY_AGAIN)
    except Exception:
        import traceback

        click.echo(presentable(traceback.format_exc().rstrip()), err=True)
        return fail(OrwatchError("this is a bug; please report it with the lines above."), EXIT_BUG)
    return code if isinstance(code, int) else 0


def _forbid_core_dumps() -> None:
    """No secret that is in use shall lie on the disk after a crash."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _refuse_secrets(words: Sequence[str]) -> None:
    """Before anything is made of them: a name would be stored, and errors show what they were given."""
    if any(map(has_secret, words)):
        raise UsageError(
            "the command line has an API key or an encryption key in it; nothing was done",
            "`orwatch key add NAME` and `orwatch key replace NAME` ask for a secret, or read it from "
            "standard input. Others may have seen this one, and the shell remembers it: replace it at "
            "OpenRouter.",
        )


def _silence_stdout() -> None:
    """Keep the interpreter from failing once more when it flushes at its end."""
    with suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _fail(error: OrwatchError, code: int) -> int:
    """Say what failed, a line for each thing; the exit code."""
    for each in error.errors if isinstance(error, WrongSettingsError) else (error,):
        click.echo(notices.wrapped(f"orwatch: {printable(redact(str(each)))}", sys.stderr), err=True)
    return code


def _fail_in_json(error: OrwatchError, code: int) -> int:
    """Say what failed in one line of JSON; the exit code."""
    from orwatch.render.json_text import FAILURE, Failure, dumps

    if isinstance(error, WrongSettingsError) and len(error.errors) == 1:
        (error,) = error.errors
    failure = Failure(code, error.problem, error.advice, error.setting)
    click.echo(redact(dumps(FAILURE.read(failure))), err=True)
    return code


def _is_help(error: click.ClickException) -> bool:
    """Whether it is a group that was called without a command: newer versions of click raise its help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _worded(error: click.ClickException) -> OrwatchError:
    """An error of click in our words, with the command whose help says how it goes."""
    problem = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return UsageError(problem, f"See `{error.ctx.command_path} --help`.")
    return OrwatchError(problem)
