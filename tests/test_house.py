"""The house: imports point downward only, heavy libraries stay behind their doors, help is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lmcli"
# Each layer may import from itself and from those below it.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"repl", "bench", "training"},
    {"evaluation"},
    {"tasks", "render", "engine"},
    {"data"},
    {"text", "checkpoints"},
    {"environment", "settings", "parameters"},
    {"protocols"},
    {"types", "errors", "__init__"},
    {"explanations", "task_names"},
]
HEAVY = {"torch", "transformers", "rich", "prompt_toolkit", "huggingface_hub", "tokenizers", "numpy", "gguf", "psutil",
         "llama_cpp", "llguidance", "pyarrow", "accelerate", "peft", "sacrebleu"}  # fmt: skip
ONLY_IN = {
    "torch": ("engine/", "bench/sides/", "training/"), "transformers": ("engine/", "bench/sides/", "training/"),
    "llama_cpp": ("bench/sides/",), "rich": ("render/drawing.py",),
    "prompt_toolkit": ("repl/prompt.py",), "huggingface_hub": ("checkpoints/hub.py", "training/card_metadata.py"),
    "click": ("cli.py", "commands/"), "llguidance": ("engine/grammar.py",), "pyarrow": ("data/files.py",),
    "accelerate": ("training/",), "peft": ("training/",), "sacrebleu": ("evaluation/",),
}  # fmt: skip
COMMANDS = sorted(file.stem for file in (PACKAGE / "commands").glob("[a-z]*.py"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def layer(name: str) -> int:
    return next((i for i, names in enumerate(LAYERS) if name in names), -1)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_downward(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    known = {"__init__"} | {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    used = {room(name) for name in imports(file) if name.split(".")[0] == "lmcli"} & known - {"__init__", own}
    upward = {name for name in used if layer(name) <= layer(own)}
    assert layer(own) >= 0, f"{own} belongs to no layer"
    assert not upward


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_each_heavy_library_has_its_one_place(file: Path) -> None:
    place = str(file.relative_to(PACKAGE))
    for name in {name.split(".")[0] for name in imports(file)} & ONLY_IN.keys():
        assert place.startswith(ONLY_IN[name]), f"{place} imports {name}"


def test_tasks_see_only_text_types_and_errors() -> None:
    for file in (PACKAGE / "tasks").glob("*.py"):
        used = {room(name) for name in imports(file) if name.startswith("lmcli.")}
        assert used <= {"tasks", "text", "types", "explanations", "protocols", "errors"}, file


HELP = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from lmcli.cli import run; from lmcli.environment import Environment\n"
        f"code = run({arguments!r}, Environment.of_process(None))\n"
        f"loaded = {HEAVY!r} & set(sys.modules)\n"
        "sys.exit(code or (f'imported {loaded}' if loaded else 0))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "lmcli" in result.stdout
