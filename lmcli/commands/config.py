"""`lmcli config`: the settings, and where each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

COLUMNS = {"setting": "SETTING", "value": "VALUE", "source": "FROM"}

EPILOG = """\b
Examples:
  lmcli config
  lmcli config --json
"""


@click.command(cls=Command, epilog=EPILOG)
@click.option("--path", is_flag=True, help="Print the config file's path alone.")
@output_options
@click.pass_obj
def command(environment: Environment, path: bool, renderer: Renderer) -> None:
    """Show every setting, its value and where it comes from.

    Flags go before environment variables, these before the config file, this before the defaults.
    """
    from lmcli.commands._engine import EngineChoice

    settings = EngineChoice(environment, {}).settings
    if path:
        renderer.table([{"path": str(settings.config_file)}], {"path": "PATH"})
        return
    rows = [
        {"setting": name, "value": _plain(getattr(settings, name)), "source": source}
        for name, source in settings.sources.items()
    ]
    rows += [
        {"setting": f"models.{task}", "value": ref, "source": str(settings.config_file)}
        for task, ref in settings.models.items()
    ]
    renderer.table(rows, COLUMNS)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool) else str(value)
