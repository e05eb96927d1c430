"""Writes what follows from the commands themselves: docs/reference.md and the scripts in completions/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from lmcli.cli import root

PROJECT = Path(__file__).parents[1]
SHELLS = {"bash": "lmcli.bash", "zsh": "_lmcli", "fish": "lmcli.fish"}


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    files = {PROJECT / "docs" / "reference.md": reference()}
    return files | {PROJECT / "completions" / name: completion(shell) for shell, name in SHELLS.items()}


def reference() -> str:
    """All commands and their options, as `--help` prints them."""
    opening = "# Reference\n\nEvery command and option, generated from the commands themselves by `make docs`.\n"
    return opening + "".join(_sections())


def completion(shell: str) -> str:
    """The script a shell sources once; it asks `lmcli` itself for the words, names of checkpoints included."""
    script_class = get_completion_class(shell)
    assert script_class is not None
    script = script_class(root, {}, "lmcli", "_LMCLI_COMPLETE").source()
    # click's script completes at its first call alone: autoloaded, it takes the second for a `source` of itself.
    return script.replace("$zsh_eval_context[-1] == loadautofunc", "$funcstack[1] == _lmcli")


def _sections() -> Iterator[str]:
    width = {"max_content_width": 100, "terminal_width": 100, "help_option_names": ["-h", "--help"]}
    context = click.Context(root, info_name="lmcli", **width)  # type: ignore[arg-type]
    yield f"\n## lmcli\n\n```text\n{root.get_help(context)}\n```\n"
    yield from _commands(root, context)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """Each command of a group, and below it those of its own."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        child = click.Context(command, info_name=name, parent=context)
        yield f"\n## {child.command_path}\n\n```text\n{command.get_help(child)}\n```\n"
        if isinstance(command, click.Group):
            yield from _commands(command, child)


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(PROJECT))
