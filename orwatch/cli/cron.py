"""``orwatch cron``: install, show, remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.host import read_host
from orwatch.cli.notices import notice, say
from orwatch.cli.options import dry_run_option, json_option
from orwatch.config import values
from orwatch.config.settings import check_option
from orwatch.errors import UsageError
from orwatch.jobs.cron.result import CronPlace, CronWarning
from orwatch.text import printable


@click.group("cron")
@pass_context
def command(context: Context) -> None:
    """Put the jobs into cron or systemd, show and remove them.

    \b
    Example:
      orwatch cron install
    """
    context.may_lack_env_file = True  # they say themselves that the jobs will want one


@command.command("install")
@dry_run_option
@click.option("--user-crontab", is_flag=True, help="Into your own crontab (the default).")
@click.option(
    "--etc-cron-d",
    is_flag=True,
    help="Into /etc/cron.d/orwatch (as root), for the user of sudo.",
)
@click.option("--systemd", is_flag=True, help="As timers of your own systemd instead of cron.")
@click.option("--log-file", metavar="F", help="Let the jobs log to this file.")
@click.option(
    "--heartbeat-url", metavar="U", help="Let the jobs ping this address; {job} becomes their name."
)
@click.option("--replace", is_flag=True, help="Replace the entries of another env file.")
@pass_context
def install(
    context: Context,
    dry_run: bool,
    user_crontab: bool,
    etc_cron_d: bool,
    systemd: bool,
    log_file: str | None,
    heartbeat_url: str | None,
    replace: bool,
) -> int:
    """Let cron run sync every hour, validate daily, cleanup weekly.

    Puts three entries between two marks into your crontab and leaves everything else in it as it is. Run
    again it changes nothing, or corrects the entries after an upgrade or a move; --log-file and
    --heartbeat-url stay as they were unless given. The times are right in every time zone. Entries of
    another env file are left alone, without --replace.

    Warns about what would keep the jobs from running, and exits with 1 when they cannot run.

    \b
    Examples:
      orwatch cron install --dry-run
      orwatch cron install --log-file /home/you/orwatch.log
      orwatch cron install --systemd
    """
    from orwatch.jobs.cron import install as cron_install
    from orwatch.jobs.cron import ours

    request = ours.InstallRequest(
        _place(user_crontab=user_crontab, etc_cron_d=etc_cron_d, systemd=systemd),
        _clean_log_file(log_file),
        heartbeat_url and check_option(values.heartbeat_url, heartbeat_url, "--heartbeat-url"),
        is_dry_run=dry_run,
        replaces=replace,
    )
    result = cron_install.install(request, read_host(context), context.settings)
    from orwatch.render import cron as render

    if result.is_dry_run:
        click.echo(result.text, nl=False)
        notice(render.install_sentence(result))
    else:
        say(render.install_sentence(result))
    _warn(result.warnings)
    return result.exit_code


def _place(*, user_crontab: bool, etc_cron_d: bool, systemd: bool) -> CronPlace:
    if user_crontab + etc_cron_d + systemd > 1:
        raise UsageError("--user-crontab, --etc-cron-d and --systemd exclude each other.")
    if systemd:
        return CronPlace.SYSTEMD
    return CronPlace.ETC_CRON_D if etc_cron_d else CronPlace.USER_CRONTAB


def _clean_log_file(value: str | None) -> str | None:
    if value is None:
        return None
    path = Path(value)
    if not path.is_absolute():
        raise UsageError(f"--log-file {value!r} is not an absolute path. Cron runs in another folder.")
    if path.is_dir():
        raise UsageError(f"--log-file {value!r} is a folder.")
    return str(path)


def _warn(warnings: Sequence[CronWarning]) -> None:
    for warning in warnings:
        weight = "" if warning.is_fatal else "warning: "
        notice(f"{weight}{printable(warning.text)}")


@command.command("show")
@json_option
@pass_context
def show(context: Context, as_json: bool) -> int:
    """Show what is installed, what it runs and when.

    Exits with 1 when something keeps it from running, when it is not as this version would write it, or when
    it cannot be looked at. Nothing installed is no failure: something else may start the jobs, and `orwatch
    status` says when one was missed.

    \b
    Example:
      orwatch cron show
    """
    from orwatch.jobs.cron import show as cron_show

    result = cron_show.show(read_host(context), context.settings, context.now, compares_shell=True)
    from orwatch.render import cron as render

    answer(result, render.ANSWER, render.view(result), as_json=as_json)
    return result.exit_code


@command.command("remove")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@pass_context
def remove(context: Context, dry_run: bool) -> int:
    """Take the jobs out of cron and systemd, and nothing else.

    Entries of another env file are left alone: name it with --env-file.

    \b
    Example:
      orwatch cron remove
    """
    from orwatch.jobs.cron import install as cron_install

    result = cron_install.remove(read_host(context), context.env_file, is_dry_run=dry_run)
    from orwatch.render import cron as render

    say(render.remove_sentence(result))
    _warn(result.warnings)
    return result.exit_code
