"""``orwatch budget``: set, list, show, remove, check."""

from __future__ import annotations

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice, say
from orwatch.cli.options import (
    complete_budget_name,
    complete_known_name,
    confirm,
    json_option,
    yes_option,
)
from orwatch.text import printable

_PERS = ("day", "week", "month", "lifetime")

name_argument = click.argument("name", shell_complete=complete_budget_name)


@click.group("budget", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Set budgets of your own, and see how much of them is spent.

    Without a COMMAND it lists them.

    \b
    Example:
      orwatch budget
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("set")
@name_argument
@click.option("--limit", required=True, metavar="USD", help="What may be spent in each window.")
@click.option("--per", required=True, type=click.Choice(_PERS), help="How often it begins anew (UTC).")
@click.option(
    "-k",
    "--key",
    "key_names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_known_name,
    help="Count only this key; repeatable.",
)
@click.option("-m", "--model", "models", multiple=True, metavar="GLOB", help="Count only such models.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Count only this provider.")
@click.option("--workspace", "workspaces", multiple=True, metavar="NAME", help="Count only its keys.")
@click.option(
    "--warn", metavar="PERCENTS", help="When to warn, in percent of the limit (default: 50,80,100)."
)
@click.option("--with-byok", is_flag=True, help="Count the cost of your own provider keys, too.")
@json_option
@pass_context
def set_(
    context: Context,
    name: str,
    limit: str,
    per: str,
    key_names: tuple[str, ...],
    models: tuple[str, ...],
    providers: tuple[str, ...],
    workspaces: tuple[str, ...],
    warn: str | None,
    with_byok: bool,
    as_json: bool,
) -> None:
    """Set what may be spent, under NAME. A budget of that name becomes as it is said here.

    What is not given is not asked for: without --key, --model, --provider and --workspace everything counts.
    Of one option given several times one has to fit, of several options each.

    \b
    Examples:
      orwatch budget set all --limit 250 --per month
      orwatch budget set claude --limit 20 --per week --model 'anthropic/*' --warn 80,100
    """
    from orwatch.domain.budgets import DEFAULT_WARN_PERCENT, Per, read_limit, read_warn_percent
    from orwatch.jobs.budget.change import BudgetRequest, set_budget

    request = BudgetRequest(
        name,
        read_limit(limit),
        Per(per),
        key_names,
        models,
        providers,
        workspaces,
        DEFAULT_WARN_PERCENT if warn is None else read_warn_percent(warn),
        with_byok,
    )
    result = set_budget(context.store, request, context.now)
    from orwatch.render import budget as render

    for note in result.notes:
        notice(f"{note}.")
    click.echo(render.SET.document(result) if as_json else render.set_text(result))


@command.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List all budgets, and how much of each is spent.

    \b
    Example:
      orwatch budget list
    """
    from orwatch.jobs.budget.overview import list_budgets

    result = list_budgets(context.store, context.now)
    from orwatch.render import budget as render

    answer(result, render.LIST, render.list_view(result), as_json=as_json)


@command.command("show")
@name_argument
@json_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> None:
    """Show everything that is known of one budget.

    \b
    Example:
      orwatch budget show all
    """
    from orwatch.jobs.budget.overview import list_budgets

    (shown,) = list_budgets(context.store, context.now, [name]).budgets
    from orwatch.render import budget as render

    answer(shown, render.SHOW, render.show_view(shown), as_json=as_json)


@command.command("remove")
@name_argument
@yes_option
@json_option
@pass_context
def remove(context: Context, name: str, yes: bool, as_json: bool) -> None:
    """Remove a budget. What was spent stays in the reports.

    \b
    Example:
      orwatch budget remove claude
    """
    from orwatch.jobs.budget import change
    from orwatch.jobs.budget.overview import check_name

    check_name(context.store, name)
    if not yes:
        confirm(f"Remove the budget {printable(name)!r}?", "nothing was removed.")
    removed = change.remove_budget(context.store, name, context.now)
    if as_json:
        from orwatch.render import budget as render

        click.echo(render.REMOVE.document(removed))
    else:
        say(f"Removed the budget {printable(removed.name)!r}.")


@command.command("check")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_budget_name)
@click.option(
    "--at",
    "at_percent",
    type=click.IntRange(1, 1_000),
    default=100,
    metavar="PERCENT",
    help="How much of a limit is too much (default: 100).",
)
@json_option
@pass_context
def check(context: Context, names: tuple[str, ...], at_percent: int, as_json: bool) -> None:
    """Exit with 1 where a budget is spent, for scripts and pipelines.

    With 75 where none is, but of one that cannot be told: what is not known passes as no yes. It asks
    nothing of OpenRouter: it goes by the last sync.

    \b
    Examples:
      orwatch budget check
      orwatch budget check claude --at 80 && ./nightly-evaluation
    """
    from orwatch.jobs.budget import overview

    result = overview.check(context.store, context.now, names, at_percent)
    from orwatch.render import budget as render

    answer(result, render.CHECK, render.check_view(result), as_json=as_json)
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)
