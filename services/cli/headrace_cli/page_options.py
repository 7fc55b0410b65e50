"""The options of commands that show a list page by page."""

from typing import Annotated

import typer

First = Annotated[int, typer.Option(min=1, max=200, help="How many.")]
After = Annotated[str | None, typer.Option(help="The cursor of the page before.")]
