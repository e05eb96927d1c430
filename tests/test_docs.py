"""The documentation is true: its commands run, its tables hold what the code holds, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import documented
import pytest
from documented import Line, blocks, commands, furnish, lines

from lmcli import bench, checkpoints, engine, errors, repl, settings
from lmcli.checkpoints import catalog
from lmcli.commands._checkpoints import Size
from lmcli.parameters import PARAMETERS
from lmcli.repl import slash

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
WRITTEN = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
LINES = [line for page in WRITTEN for line in lines(page) if "lmcli" in line.text and not line.text.startswith("pip")]
ENGLISH = b"The release went out. Two bugs were found.\n\nBoth are fixed.\n"
CHINESE = "新版本已经发布。发现了两个问题，都已经解决。\n".encode()
FILES = (
    "report.txt", "notes.txt", "-notes.md", "prompt.txt", "review.txt", "reviews.txt", "letter.txt", "monday.txt",
    "tuesday.txt", "reviews.tsv", "README.md", "notes/a.txt", "notes/b.txt", "article.txt", "messages.txt",
    "topics.tsv", "会议记录.txt", "说明.txt", "评论.txt",
    "来信.txt",
)  # fmt: skip
CONSUMERS = {"jq", "head", "tee", "sort", "wc", "column"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files the documentation names, in which its commands are run."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(ENGLISH if name.isascii() else CHINESE)
    (tmp_path / "reviews.csv").write_text("id,review\n1,All of it was good.\n", encoding="utf-8")
    (tmp_path / "articles.jsonl").write_text('{"id": 1, "text": "The release went out."}\n', encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\nAll of it was good.,positive\nNone of it.,negative\n")
    (tmp_path / "pairs.tsv").write_text(
        "en\tzh\nThe release went out.\t新版本已经发布。\nIt works.\t能用。\n", encoding="utf-8"
    )
    (tmp_path / "GLUE" / "SST-2").mkdir(parents=True)
    (tmp_path / "GLUE" / "SST-2" / "dev.tsv").write_text("sentence\tlabel\na good film\t1\na bad one\t0\n")
    (tmp_path / "terms.tsv").write_text("bug\tFehler\n")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "person.json").write_text('{"type": "object"}')
    for name in ("menu.csv", "menu.md"):
        (tmp_path / name).write_bytes("Caf\xe9 cr\xe8me".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been fetched."""
    fetched: list[str] = []

    def pull(ref: str, known: settings.Settings, *_: object, **__: object) -> object:
        fetched.append(ref)
        return checkpoints.find(ref, known)

    monkeypatch.setattr(checkpoints, "pull", pull)
    return fetched


def produced(arguments: list[str], piped: bytes) -> bytes:
    """What a command in front of `| lmcli` writes."""
    match arguments:
        case ["cat", *names]:
            return b"".join(Path(name).read_bytes() for name in names)
        case ["echo", *words]:
            return " ".join(words).encode() + b"\n"
        case ["git", *_] | ["cut", *_]:
            return ENGLISH
        case ["tail", *_]:
            return CHINESE
        case ["iconv", *_, name]:
            return Path(name).read_bytes().decode("latin-1").encode()
        case [name, *_] if name in CONSUMERS:
            return piped
    raise AssertionError(f"the documentation uses {arguments[0]}, which this test does not know")


@pytest.mark.parametrize("line", LINES, ids=str)
def test_every_documented_command_runs(
    line: Line, place: Path, pulled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repl, "run", lambda *_, **__: 0)
    monkeypatch.setattr(bench, "run", documented.scripted_bench)
    monkeypatch.setattr(engine, "quantize", documented.scripted_quantize)
    monkeypatch.setattr(engine, "restore", documented.scripted_quantize)
    monkeypatch.setattr(engine, "merge", documented.scripted_merge)
    monkeypatch.setattr(engine, "compare", documented.scripted_compare)
    monkeypatch.setattr(engine, "read_attention", documented.scripted_attention)
    variables = furnish(place)
    piped: bytes | None = b"" if re.search(r"< ?\S", line.text) else None
    pipeline = commands(line.text)
    for n, (assigned, words) in enumerate(pipeline):
        if words[0] != "lmcli":
            piped = produced(words, piped or b"")
            continue
        expanded = [found for word in words[1:] for found in glob(word)]
        last = n == len(pipeline) - 1 and ">" not in line.text
        result = documented.invoke(expanded, piped, {**variables, **assigned}, terminal=last)
        assert result.code == line.code, result.stderr
        if line.code:
            assert (result.stdout if "--json" in expanded else result.stderr).strip() == line.output
        piped = result.stdout.encode()


def glob(word: str) -> list[str]:
    return sorted(str(path) for path in Path().glob(word)) if "*" in word else [word]


def test_the_test_of_commands_can_fail(place: Path) -> None:
    variables = furnish(place)
    assert documented.invoke(["summarize", "--no-such-option", "notes.txt"], None, variables, terminal=True).code == 2
    assert commands("A=1 lmcli chat 'a | b' > out | head -3") == [
        ({"A": "1"}, ["lmcli", "chat", "a | b"]), ({}, ["head", "-3"])
    ]  # fmt: skip


SCRIPTS = [body for page in WRITTEN for body in blocks(page.read_text(encoding="utf-8"), "bash")]


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.splitlines()[0])
def test_every_documented_script_runs(script: str, place: Path) -> None:
    if " jq " in script and not shutil.which("jq"):
        pytest.skip("needs jq")
    (place / "bin").mkdir()
    program = place / "bin" / "lmcli"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {PROJECT / "tests" / "documented.py"} "$@"\n')
    program.chmod(0o755)
    (place / "bin" / "git").write_text("#!/bin/sh\nexit 0\n")
    (place / "bin" / "git").chmod(0o755)
    variables = os.environ | furnish(place)
    variables |= {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    result = subprocess.run(
        ["bash", "--norc", "-euo", "pipefail", "-c", script],
        env=variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "rror" not in result.stderr


def test_the_documented_settings_are_read(place: Path) -> None:
    (config,) = blocks((DOCS / "configuration.md").read_text(encoding="utf-8"), "toml")
    file = place / "config.toml"
    file.write_text(config, encoding="utf-8")
    read = settings.load({"LMCLI_CONFIG": str(file)})
    places = {"hub_dir", "data_dir", "state_dir", "starters_dir", "config_file"}  # which variables alone may move
    assert {name for name, source in read.sources.items() if source == str(file)} == set(read.sources) - places
    assert all(catalog.lookup(name) for name in [read.model or "", *read.models.values()])


def test_every_variable_that_is_read_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    source = "".join(file.read_text(encoding="utf-8") for file in (PROJECT / "lmcli").rglob("*.py"))
    source = re.sub(r"os\.environ(\.setdefault\(.*\)| \|=? \{.*\})", "", source)  # set for the libraries, not read
    read = set(re.findall(r"\b(?:LMCLI|HF|TRANSFORMERS|XDG)_[A-Z_]+\b|\bNO_COLOR\b", source))
    told = set(re.findall(r"`([A-Z][A-Z_]+)`", page))
    of_the_libraries = {"HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "TERM", "OMP_NUM_THREADS"}
    assert read <= told
    assert told <= read | of_the_libraries


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is `heading`, without the backquotes."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    (table,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    known = [error for error in vars(errors).values() if isinstance(error, type)]
    codes = {error.exit_code for error in known if issubclass(error, errors.LmcliError)}
    assert {int(row[0]) for row in rows("docs/shell.md", "code")} == codes | {0, 130}


def test_the_catalogue_is_documented_as_it_is() -> None:
    expected = [
        [entry.name + (" *" if entry.gated else ""), entry.repo_id, entry.task, ", ".join(entry.languages),
         str(Size(entry.size_bytes)), entry.license]
        for entry in catalog.ENTRIES
    ]  # fmt: skip
    assert rows("docs/checkpoints.md", "name") == expected


def test_every_slash_command_and_parameter_is_documented() -> None:
    told = {row[0].split()[0].removeprefix("/") for row in rows("docs/chat.md", "command")}
    assert told == set(slash.COMMANDS)
    options = {row[0].split()[0].removeprefix("--").replace("-", "_") for row in rows("docs/chat.md", "option")}
    assert options == set(PARAMETERS)


def test_the_readme_has_a_line_for_every_command() -> None:
    files = (PROJECT / "lmcli" / "commands").glob("[a-z]*.py")
    assert {row[0].split()[1] for row in rows("README.md", "command")} == {file.stem for file in files}


def test_the_readme_shows_the_tree_as_it_is() -> None:
    (tree,) = (body for body in blocks((PROJECT / "README.md").read_text(encoding="utf-8"), "text") if "lmcli/" in body)
    folder = PROJECT
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = PROJECT / name
        assert (folder / name if line.startswith(" ") else folder).exists(), line


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [PROJECT / "README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            linked = (page.parent / target).resolve()
            todo += [linked] if linked not in reached else []
    assert set(WRITTEN) <= reached


@pytest.mark.parametrize("script", ["generate.py", "performance.py"])
def test_what_is_generated_is_up_to_date(script: str) -> None:
    spec = importlib.util.spec_from_file_location(script[:-3], DOCS / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generated: dict[Path, str] = module.generated()
    assert generated
    stale = [path.name for path, text in generated.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: make docs"


@pytest.mark.skipif(not shutil.which("sed"), reason="needs sed")
def test_the_ci_run_finds_the_readmes_test_command() -> None:
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"sed -n '([^']*)' README\.md", script)
    result = subprocess.run(
        ["sed", "-n", pattern, "README.md"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "pip install -e '.[dev]' && pytest\n"
