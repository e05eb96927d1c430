"""Runs a command line of the documentation: the real program, a scripted engine, every checkpoint already here.

`documented.py ARGUMENTS` does so as a process, in the folders that the environment variables name.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripted import Result, ScriptedEngine, Terminal, folder_checkpoint

from lmcli.bench.plan import Plan
from lmcli.bench.report import Machine, Report, SideReport, Spread
from lmcli.bench.report import Result as Measured
from lmcli.checkpoints import catalog, starters, store
from lmcli.cli import leave, run
from lmcli.environment import Environment
from lmcli.explanations import AttentionMap, AttentionMaps
from lmcli.protocols import Engine
from lmcli.settings import load as settings_of
from lmcli.types import Checkpoint

KINDS = {"translate": "seq2seq", "summarize": "seq2seq", "sentiment": "classifier", "chat": "causal"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One `$ …` line of a ```console block: the exit code stated by a following `$ echo $?`, and what it shows."""

    page: str
    text: str
    code: int
    output: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(text: str, language: str) -> list[str]:
    """The bodies of a page's fenced blocks in `language`."""
    return [body for name, body in BLOCK.findall(text) if name == language]


def lines(page: Path) -> list[Line]:
    """The commands of a page's console blocks, but for the `echo $?` that state an exit code."""
    found: list[Line] = []
    for block in blocks(page.read_text(encoding="utf-8"), "console"):
        entries = [entry.partition("\n") for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
        for (text, _, output), (following, _, code) in zip(entries, [*entries[1:], ("", "", "")], strict=True):
            if text != "echo $?":
                stated = int(code) if following == "echo $?" else 0
                found.append(Line(page.name, text, stated, output.rstrip("\n")))
    return found


def commands(text: str) -> list[tuple[dict[str, str], list[str]]]:
    """The variables and words of each command of a pipeline, redirections left out."""
    words = shlex.shlex(text, posix=True, punctuation_chars="|<>")
    words.whitespace_split = True  # a word may be of any characters
    found: list[tuple[dict[str, str], list[str]]] = [({}, [])]
    skip = False
    for word in words:
        variables, arguments = found[-1]
        if skip or word in {"<", ">"}:
            skip = not skip
        elif word == "|":
            found.append(({}, []))
        elif not arguments and re.fullmatch(r"\w+=.*", word):
            variables |= dict([word.split("=", 1)])
        else:
            arguments.append(word)
    return found


def furnish(folder: Path) -> dict[str, str]:
    """Lay every checkpoint of the catalogue and those the documentation names into `folder`; the variables for it."""
    hub_ids = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B@main")
    cache = folder / "cache" / "checkpoints"
    for name in (*(entry.name for entry in catalog.ENTRIES), *hub_ids):
        entry = catalog.of(name)
        folder_checkpoint(cache / name.replace("/", "--"), KINDS[entry.task if entry else "chat"])
    folder_checkpoint(folder / "my-checkpoint")
    for starter in starters.STARTERS:
        folder_checkpoint(folder / "starters" / starter.folder, KINDS[starter.task])
    variables = {
        "LMCLI_CACHE": str(folder / "cache"), "LMCLI_DATA": str(folder / "data"), "LMCLI_STATE": str(folder / "state"),
        "LMCLI_CONFIG": str(folder / "config.toml"), "HF_HUB_CACHE": str(folder / "hub"),
        "LMCLI_STARTERS": str(folder / "starters"),
    }  # fmt: skip
    file = folder / "model.Q8_0.gguf"
    file.write_bytes(b"GGUF")
    folder_checkpoint(store.converted(file, settings_of(variables)))
    return variables


def invoke(arguments: list[str], stdin: bytes | None, variables: Mapping[str, str], terminal: bool) -> Result:
    """Run one command; `stdin` None is a terminal at which everything is answered with yes."""
    answers = Keyboard(b"y\n") if stdin is None else io.BytesIO(stdin)
    stdout, stderr = (Terminal() if terminal else io.StringIO()), Terminal()
    code = run(arguments, Environment(answers, stdout, stderr, variables, scripted_engine))
    return Result(code, stdout.getvalue(), stderr.getvalue())


class Keyboard(io.BytesIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def scripted_engine(checkpoint: Checkpoint, *_arguments: object, **_options: object) -> Engine:
    return ScriptedEngine(["The release went out and two bugs were found."], checkpoint=checkpoint)


def scripted_bench(checkpoint: Checkpoint, plan: Plan, *_arguments: object) -> Report:
    """A report of one number, as the bench would have measured it."""
    spread = Spread(20.0, 19.0, 21.0)
    machine = Machine("a CPU", 2, 2, 8 << 30, "Linux", "3.11", "2.13", "cpu", spread, {})
    side = SideReport("lmcli", "0.1.0", "cpu, float32", 1.0, 64)
    result = Measured("decode", plan.contexts[0], "tokens/s", "lmcli", (20.0, 19.0, 21.0))
    return Report(
        checkpoint.name, checkpoint.model_type, 16, 64, "float32", plan.options, plan.rounds, plan.tokens, machine,
        (side,), (result,),
    )  # fmt: skip


def scripted_quantize(checkpoint: Checkpoint, folder: Path, *_arguments: object) -> None:
    """A copy under the new name."""
    shutil.copytree(checkpoint.path, folder)


def scripted_merge(sources: Sequence[Checkpoint], shares: object, folder: Path, *_arguments: object) -> float:
    """A copy of the first under the new name."""
    shutil.copytree(sources[0].path, folder)
    return 0.998


def scripted_compare(checkpoint: Checkpoint, *_arguments: object) -> object:
    """Numbers as they were measured once."""
    from lmcli.engine.agreement import Agreement  # They bring torch, which no other line needs.
    from lmcli.engine.comparison import Comparison

    if checkpoint.kind != "causal":
        return Agreement(38, 1.0, 0.004)
    return Comparison(785, 28.64, 28.56, 0.972, 0.031)


def scripted_attention(checkpoint: Checkpoint, text: str, *_arguments: object) -> AttentionMaps:
    """Two words that look at themselves, in twelve layers of six heads."""
    words = ("a", "b")
    found = AttentionMap("decoder", words, words, 12, 6, array("f", [1, 0, 0, 1] * 72))
    return AttentionMaps(checkpoint.name, text, (found,))


if __name__ == "__main__":
    leave(run(sys.argv[1:], Environment.of_process(scripted_engine)))
