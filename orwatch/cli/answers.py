"""What a command answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orwatch.render.console import View
    from orwatch.render.json_text import Shape


def answer(result: object, shape: Shape, view: View, *, as_json: bool) -> None:
    """Print the result on standard output: in JSON, or as it is shown to a person."""
    if as_json:
        click.echo(shape.document(result))
    else:
        from orwatch.render import console

        console.show(view)
