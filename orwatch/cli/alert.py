"""``orwatch alert``: list, show, ack, test."""

from __future__ import annotations

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import say
from orwatch.cli.options import json_option
from orwatch.domain.alerts.alert import Rule

_id = click.IntRange(1, 2**31 - 1)


@click.group("alert", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """See what raised an alert, and acknowledge it.

    Without a COMMAND it lists the alerts that hold now.

    \b
    Example:
      orwatch alert
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("list")
@click.option("-a", "--all", "is_all", is_flag=True, help="Also those that are over.")
@click.option("--rule", type=click.Choice([rule.value for rule in Rule]), help="Only those of this rule.")
@json_option
@pass_context
def list_(context: Context, is_all: bool = False, rule: str | None = None, as_json: bool = False) -> None:
    """List the alerts that hold now, the newest first.

    \b
    Examples:
      orwatch alert list
      orwatch alert list --all --rule budget
    """
    from orwatch.jobs.alert import history

    wanted = Rule(rule) if rule else None
    found = history.list_alerts(context.store, wanted, only_open=not is_all)
    from orwatch.render import alert as render

    answer(found, render.LIST, render.list_view(found, is_all=is_all, rule=wanted), as_json=as_json)


@command.command("show")
@click.argument("alert_id", metavar="ID", type=_id)
@json_option
@pass_context
def show(context: Context, alert_id: int, as_json: bool) -> None:
    """Show all of one alert.

    \b
    Example:
      orwatch alert show 12
    """
    from orwatch.jobs.alert import history

    found = history.find_alert(context.store, alert_id)
    from orwatch.render import alert as render

    answer(found, render.ALERT, render.show_view(found), as_json=as_json)


@command.command("ack")
@click.argument("alert_ids", metavar="ID...", type=_id, nargs=-1, required=True)
@json_option
@pass_context
def acknowledge(context: Context, alert_ids: tuple[int, ...], as_json: bool) -> None:
    """Acknowledge alerts: `orwatch status` lists them no more.

    Doing so again changes nothing. In its next window the same is a new alert.

    \b
    Example:
      orwatch alert ack 12 13
    """
    from orwatch.jobs.alert import history
    from orwatch.text import counted

    found, new = history.acknowledge(context.store, alert_ids, context.now)
    if as_json:
        from orwatch.render import alert as render

        click.echo(render.LIST.document(found[::-1]))
    else:
        known = len(found) - new
        were = f"{'was' if known == 1 else 'were'} acknowledged already"
        if new:
            say(f"Acknowledged {counted(new, 'alert')}{f'; {known} {were}' if known else ''}.")
        else:
            say(f"{counted(known, 'alert')} {were}.")


@command.command("test")
@json_option
@pass_context
def test(context: Context, as_json: bool) -> int:
    """Send a test alert of each kind to every destination.

    Says what became of each, and stores nothing. Exits with 1 when one failed.

    \b
    Example:
      orwatch alert test
    """
    from orwatch.cli.alerting import alert_json
    from orwatch.jobs.alert import trial
    from orwatch.jobs.alert.destinations import find

    settings = context.settings
    result = trial.run(find(settings.notify_urls, settings.on_alert), alert_json, context.now)
    from orwatch.render import alert_trial

    answer(result, alert_trial.ANSWER, alert_trial.view(result), as_json=as_json)
    return result.exit_code
