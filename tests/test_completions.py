"""The shells' completion: real shells load the scripts in completions/ and ask a real lmcli."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import folder_checkpoint, sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shells are POSIX")
PROJECT = Path(__file__).parents[1]
COMPLETIONS = PROJECT / "completions"
HEAVY = {"torch", "transformers", "huggingface_hub", "prompt_toolkit", "rich", "tokenizers", "numpy", "gguf", "httpx2"}
# An lmcli that writes down, for each process, which modules it imported.
PROGRAM = """\
#!{python}
import json, sys
from lmcli.cli import main
sys.argv[0] = "lmcli"
try:
    main()
finally:
    with open({log!r}, "a") as log:
        log.write(json.dumps(sorted(sys.modules)) + "\\n")
"""
# What readline does on Tab, without a terminal.
BASH = """\
source {script}
function=$(complete -p lmcli | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=({words}) COMP_CWORD={last} COMPREPLY=()
$function lmcli {current} {previous}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class Machine:
    """A machine with lmcli on its PATH and one checkpoint, acme/rocket, in the hub's cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "processes.jsonl"
        (folder / "bin").mkdir()
        program = folder / "bin" / "lmcli"
        program.write_text(PROGRAM.format(python=sys.executable, log=str(self.log)), encoding="utf-8")
        program.chmod(0o755)
        self.cache("acme/rocket")
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self.variables = os.environ | sandbox(folder) | home | {"PATH": path, "PYTHONPATH": str(PROJECT)}

    def cache(self, repo_id: str) -> None:
        repo = self.folder / "hub" / f"models--{repo_id.replace('/', '--')}"
        folder_checkpoint(repo / "snapshots" / ("0" * 40))
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("0" * 40, encoding="utf-8")

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command, env=self.variables, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def bash(self, line: str) -> list[str]:
        """What bash offers where the cursor stands at the end of `line`."""
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        script = BASH.format(
            script=shlex.quote(str(COMPLETIONS / "lmcli.bash")), words=shlex.join(words), last=len(words) - 1,
            current=shlex.quote(words[-1]), previous=shlex.quote(words[-2]),
        )  # fmt: skip
        return self.run("bash", "--norc", "--noprofile", "-c", script).split()

    def fish(self, line: str) -> list[str]:
        script = f"source {COMPLETIONS / 'lmcli.fish'}; complete --do-complete {shlex.quote(line)}"
        return [row.split("\t")[0] for row in self.run("fish", "--no-config", "-c", script).splitlines()]

    @property
    def processes(self) -> list[set[str]]:
        """The modules of each lmcli that has run."""
        return [set(json.loads(line)) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def shell(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed")


@shell("bash")
def test_bash_registers_the_function_for_lmcli(machine: Machine) -> None:
    script = f"source {shlex.quote(str(COMPLETIONS / 'lmcli.bash'))}; complete -p lmcli"
    assert machine.run("bash", "--norc", "--noprofile", "-c", script).strip().endswith(" lmcli")


@shell("bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lmcli s", ["sentiment", "show", "summarize"]),
        ("lmcli chat --te", ["--temperature"]),
        ("lmcli summarize --length ", ["short", "medium", "long"]),
        ("lmcli chat -m acme", ["acme/rocket"]),
        ("lmcli show acme/r", ["acme/rocket"]),
        ("lmcli nothing-like-it ", []),
    ],
)
def test_bash_completes(line: str, offered: list[str], machine: Machine) -> None:
    assert machine.bash(line) == offered


@shell("bash")
def test_names_come_from_the_catalogue_and_from_the_cache_as_it_is_now(machine: Machine) -> None:
    assert {"smollm2", "smollm3"} <= set(machine.bash("lmcli chat -m sm"))
    assert machine.bash("lmcli chat --model small") == []
    machine.cache("small/one")
    assert machine.bash("lmcli chat --model small") == ["small/one"]


@shell("bash")
def test_a_tab_is_one_light_process(machine: Machine) -> None:
    assert "acme/rocket" in machine.bash("lmcli rm ")
    (modules,) = machine.processes
    assert "lmcli.cli" in modules
    assert not modules & HEAVY


@shell("bash")
def test_a_broken_config_file_breaks_no_completion(machine: Machine) -> None:
    Path(machine.variables["LMCLI_CONFIG"]).write_text("model = ", encoding="utf-8")
    assert "smollm2" in machine.bash("lmcli chat -m smol")


@shell("bash")
def test_a_person_at_a_bash_prompt_presses_tab(machine: Machine) -> None:
    pexpect = pytest.importorskip("pexpect")
    variables = machine.variables | {"TERM": "dumb", "PS1": "ready> "}
    with pexpect.spawn("bash", ["--norc", "--noprofile"], env=variables, cwd=str(machine.folder), timeout=20) as bash:
        bash.sendline(f"source {shlex.quote(str(COMPLETIONS / 'lmcli.bash'))}")
        bash.expect("ready> .*ready> ")
        bash.send("lmcli trans\t")
        bash.expect_exact("translate ")
        bash.send("-m ac\t")
        bash.expect_exact("acme/rocket ")


@shell("fish")
def test_fish_completes(machine: Machine) -> None:
    assert machine.fish("lmcli su") == ["summarize"]
    assert machine.fish("lmcli chat --te") == ["--temperature"]
    assert machine.fish("lmcli chat -m acme") == ["acme/rocket"]


@shell("zsh")
@pytest.mark.parametrize(
    "setup",
    [
        f"fpath=({shlex.quote(str(COMPLETIONS))} $fpath); autoload -U compinit; compinit -u -D",
        'autoload -U compinit; compinit -u -D; eval "$(_LMCLI_COMPLETE=zsh_source lmcli)"',
    ],
    ids=["fpath", "eval"],
)
def test_zsh_completes_at_its_prompt_and_goes_on_doing_so(setup: str, machine: Machine) -> None:
    pexpect = pytest.importorskip("pexpect")
    variables = machine.variables | {"TERM": "dumb", "PS1": "ready> "}
    with pexpect.spawn("zsh", ["-f"], env=variables, cwd=str(machine.folder), timeout=20) as zsh:
        zsh.expect_exact("ready> ")
        zsh.sendline(setup)
        zsh.expect_exact("\rready> ")
        zsh.send("lmcli trans\t")
        zsh.expect_exact("translate")
        zsh.send("-m ac\t")
        zsh.expect_exact("acme/rocket")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("lmcli.bash", ("bash", "-n")),
        ("_lmcli", ("zsh", "-n")),
        ("lmcli.fish", ("fish", "--no-execute")),
    ],
)
def test_the_shell_can_read_its_script(name: str, command: tuple[str, str], machine: Machine) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    machine.run(*command, str(COMPLETIONS / name))


@pytest.mark.parametrize(("kind", "name"), [("bash", "lmcli.bash"), ("fish", "lmcli.fish")])
def test_lmcli_prints_the_same_script(kind: str, name: str, machine: Machine) -> None:
    machine.variables["_LMCLI_COMPLETE"] = f"{kind}_source"
    assert machine.run("lmcli").strip() == (COMPLETIONS / name).read_text(encoding="utf-8").strip()
