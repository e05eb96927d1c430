"""The root command: finds `commands/*.py` by name and turns every error into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

from lmcli import __version__, engine
from lmcli.commands._help import Command
from lmcli.environment import Environment
from lmcli.errors import LmcliError
from lmcli.text.printable import printable

EPILOG = """\b
Examples:
  lmcli chat
  lmcli summarize report.txt
  cat notes.txt | lmcli translate --to zh
  lmcli sentiment "What a lovely day"
"""


class ClosedPipe(Exception):
    """A BrokenPipeError under a name click does not know: it would end the process with 1."""


class Commands(Command, click.Group):
    """Every file of `lmcli/commands` whose name does not begin with `_` is a command; only the one asked for is
    imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = os.listdir(os.path.join(os.path.dirname(__file__), "commands"))
        return sorted(name[:-3] for name in files if name.endswith(".py") and not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"lmcli.commands.{name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ClosedPipe from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if not name.startswith("-") and name not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean 'lmcli {near[0]}'?" if near else "lmcli --help lists the commands"
            raise click.UsageError(f"no such command '{name}'; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(__version__, "-V", "--version", message="lmcli %(version)s")
def root() -> None:
    """Language models in your shell, on your own machine."""


def main() -> NoReturn:
    """The `lmcli` program."""
    code = run(sys.argv[1:], Environment.of_process(engine.load, engine.begin))
    leave(code)


def run(arguments: Sequence[str], environment: Environment) -> int:
    """Run one command line and return its exit code: the one error boundary."""
    try:
        code = root.main(list(arguments), "lmcli", standalone_mode=False, obj=environment)
        environment.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:  # `lmcli` alone shows its help.
        click.echo(error.format_message(), environment.stderr)
        return 2
    except click.ClickException as error:
        hint = f"{error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else None
        return _report(LmcliError(error.format_message(), hint), error.exit_code, arguments, environment)
    except LmcliError as error:
        return _report(error, error.exit_code, arguments, environment)
    except (KeyboardInterrupt, click.Abort):
        environment.stderr.write("\n")
        return 130
    except (BrokenPipeError, ClosedPipe):
        # The reader (`| head -1`) has what it wants. Python would complain again when it flushes at exit.
        _forget_output()
        return 0
    except OSError as error:
        if error.errno not in _FULL:
            raise
        full = LmcliError(f"nothing more can be written: {error.strerror}", "free some space, or write elsewhere")
        # Not as JSON, which would go where there is no room; what is still to be written there goes nowhere.
        _forget_output()
        return _report(full, full.exit_code, (), environment)


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(code: int) -> NoReturn:
    """End the process at once: tearing torch down costs a third of a second and nothing is left to close."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def _report(error: LmcliError, code: int, arguments: Sequence[str], environment: Environment) -> int:
    # The flags are read by hand because the command line may be the very thing that is wrong.
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" in flags or "--jsonl" in flags:
        from lmcli.render import objects

        results = {"results": error.finished} if error.finished else {}
        fields = {"message": error.message, "hint": error.hint, "exit_code": code}
        environment.stdout.write(objects.line(results | {"error": fields}))
        environment.stdout.flush()
        return code
    environment.stderr.write(printable(f"lmcli: {error.message}\n"))
    if error.hint:
        environment.stderr.write(printable(f"  hint: {error.hint}\n"))
    return code
