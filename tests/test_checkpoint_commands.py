"""pull, list, show, rm and config, and how a command chooses its checkpoint."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedEngine, Terminal, checkpoint, folder_checkpoint, invoke, sandbox

from lmcli import checkpoints
from lmcli.cli import run
from lmcli.commands._engine import EngineChoice
from lmcli.environment import Environment
from lmcli.errors import CheckpointNotFound
from lmcli.render import Output, pick
from lmcli.types import Checkpoint, LoadOptions


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    """The variables of a sandbox that outlives a run."""
    return sandbox(tmp_path)


def own(here: dict[str, str], name: str, kind: str = "causal") -> Path:
    """A checkpoint called `name` in lmcli's own cache."""
    return folder_checkpoint(Path(here["LMCLI_CACHE"]) / "checkpoints" / name, kind)


# The commands


def test_list_shows_what_is_here_as_tabbed_columns(here: dict[str, str]) -> None:
    own(here, "smollm2")
    result = invoke("list", variables=here)
    assert result.stdout.split("\t")[:2] == ["smollm2", "causal"]
    assert result.stderr == ""


def test_an_empty_list_says_how_to_go_on_but_not_on_stdout(here: dict[str, str]) -> None:
    result = invoke("list", variables=here)
    assert (result.code, result.stdout) == (0, "")
    assert "lmcli list --all" in result.stderr


def test_list_all_tells_what_is_here_from_what_is_not(here: dict[str, str]) -> None:
    own(here, "smollm2")
    rows = json.loads(invoke("list", "--all", "--json", variables=here).stdout)
    by_name = {row["name"]: row for row in rows}
    assert by_name["smollm2"]["here"] is True
    assert by_name["opus-mt-en-zh"]["here"] is False
    assert by_name["llama3.2-1b"]["gated"] is True
    assert by_name["qwen3-4b"]["size_bytes"] > 8_000_000_000
    line = next(line for line in invoke("list", "--all", variables=here).stdout.splitlines() if "qwen3-4b" in line)
    assert "8.0 GB" in line


def test_show_prints_one_object_with_every_fact(here: dict[str, str]) -> None:
    folder = own(here, "smollm2")
    shown = json.loads(invoke("show", "smollm2", "--json", variables=here).stdout)
    assert shown["path"] == str(folder)
    assert (shown["architecture"], shown["context_length"], shown["chat_template"]) == ("LlamaForCausalLM", 2048, True)
    assert {"name": "config.json", "size_bytes": (folder / "config.json").stat().st_size} in shown["files"]
    assert "context_length\t2048" in invoke("show", "smollm2", variables=here).stdout


def test_show_tells_a_known_name_from_an_unknown_one(here: dict[str, str]) -> None:
    missing = invoke("show", "smollm2", variables=here)
    assert missing.code == 3
    assert "lmcli pull smollm2" in missing.stderr
    unknown = invoke("show", "smolm2", variables=here)
    assert unknown.code == 3
    assert "did you mean 'smollm2'" in unknown.stderr


def test_rm_never_asks_without_a_terminal(here: dict[str, str]) -> None:
    folder = own(here, "smollm2")
    result = invoke("rm", "smollm2", stdin=b"y\n", variables=here)
    assert result.code == 2
    assert "--yes" in result.stderr
    assert folder.exists()
    assert invoke("rm", "--yes", "smollm2", variables=here).code == 0
    assert not folder.exists()


@pytest.mark.parametrize(("answer", "gone"), [(b"y\n", True), (b"\n", False), (b"n\n", False), (b"", False)])
def test_rm_asks_on_a_terminal_and_keeps_by_default(here: dict[str, str], answer: bytes, gone: bool) -> None:
    folder = own(here, "smollm2")
    code, stderr = at_terminal("rm", "smollm2", answer=answer, variables=here)
    assert "Delete smollm2" in stderr
    assert folder.exists() is not gone
    assert code == (0 if gone else 1)


def test_rm_leaves_a_users_own_folder_alone(here: dict[str, str], tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "mine")
    assert invoke("rm", "--yes", str(folder), variables=here).code == 2
    assert folder.exists()


def test_config_says_where_each_value_comes_from(here: dict[str, str]) -> None:
    Path(here["LMCLI_CONFIG"]).write_text('device = "cpu"\n[models]\ntranslate = "nllb-600m"\n')
    rows = json.loads(invoke("config", "--json", variables=here | {"LMCLI_DTYPE": "float32"}).stdout)
    by_name = {row["setting"]: (row["value"], row["source"]) for row in rows}
    assert by_name["device"] == ("cpu", here["LMCLI_CONFIG"])
    assert by_name["dtype"] == ("float32", "LMCLI_DTYPE")
    assert by_name["model"] == (None, "default")
    assert by_name["models.translate"] == ("nllb-600m", here["LMCLI_CONFIG"])
    assert by_name["hub_dir"] == (here["HF_HUB_CACHE"], "HF_HUB_CACHE")
    assert invoke("config", "--path", variables=here).stdout == here["LMCLI_CONFIG"] + "\n"


def test_a_folder_is_pulled_by_looking_at_it(here: dict[str, str], tmp_path: Path) -> None:
    result = invoke("pull", str(folder_checkpoint(tmp_path / "mine")), variables=here)
    assert result.code == 0
    assert result.stdout.startswith("mine\tcausal")


# The choice of a checkpoint


class Lines(io.BytesIO):
    """A keyboard at a terminal."""

    def isatty(self) -> bool:
        return True


def at_terminal(*arguments: str, answer: bytes, variables: dict[str, str]) -> tuple[int, str]:
    stderr = Terminal()
    code = run(list(arguments), Environment(Lines(answer), io.StringIO(), stderr, variables, ScriptedEngine))
    return code, stderr.getvalue()


def choice(
    variables: dict[str, str], answer: bytes | None = None, **flags: Any
) -> tuple[EngineChoice, Any, io.StringIO]:
    stderr = io.StringIO() if answer is None else Terminal()
    stdin = io.BytesIO() if answer is None else Lines(answer)
    environment = Environment(stdin, io.StringIO(), stderr, variables, lambda *_a, **_o: ScriptedEngine())
    return EngineChoice(environment, flags), pick(environment, Output()), stderr


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The refs that would have been fetched."""
    refs: list[str] = []

    def pull(ref: str, *_arguments: Any, **_options: Any) -> Checkpoint:
        refs.append(ref)
        return checkpoint(name=ref)

    monkeypatch.setattr(checkpoints, "pull", pull)
    return refs


def test_the_users_word_comes_before_what_is_here(here: dict[str, str]) -> None:
    own(here, "smollm2")
    own(here, "qwen3-0.6b")
    chosen, renderer, _ = choice(here | {"LMCLI_MODEL": "qwen3-0.6b"})
    assert chosen.checkpoint("chat", renderer).name == "qwen3-0.6b"
    chosen, renderer, _ = choice(here | {"LMCLI_MODEL": "qwen3-0.6b"}, model="smollm2")
    assert chosen.checkpoint("chat", renderer).name == "smollm2"


def test_a_translator_is_chosen_for_its_languages_and_the_small_one_first(here: dict[str, str]) -> None:
    for name in ("smollm2", "opus-mt-en-zh", "nllb-600m"):
        own(here, name, "causal" if name == "smollm2" else "seq2seq")
    chosen, renderer, _ = choice(here)
    assert chosen.checkpoint("translate", renderer, ("en", "zh")).name == "opus-mt-en-zh"
    assert chosen.checkpoint("translate", renderer, ("zh", "en")).name == "nllb-600m"
    assert chosen.checkpoint("chat", renderer).name == "smollm2"


def test_an_english_classifier_is_not_chosen_for_a_text_of_unknown_language(here: dict[str, str]) -> None:
    own(here, "smollm2")
    own(here, "distilbert-sst2", "classifier")
    chosen, renderer, _ = choice(here)
    assert chosen.checkpoint("sentiment", renderer).name == "smollm2"
    assert chosen.checkpoint("sentiment", renderer, ("en", "en")).name == "distilbert-sst2"
    assert chosen.checkpoint("sentiment", renderer, ("zh", "zh")).name == "smollm2"


def test_any_chat_checkpoint_that_is_here_beats_a_download(here: dict[str, str], pulled: list[str]) -> None:
    own(here, "qwen3-0.6b")
    chosen, renderer, _ = choice(here)
    assert chosen.checkpoint("summarize", renderer).name == "qwen3-0.6b"
    assert pulled == []


def test_a_script_is_not_asked_before_the_default_is_fetched(here: dict[str, str], pulled: list[str]) -> None:
    chosen, renderer, stderr = choice(here)
    assert chosen.checkpoint("chat", renderer).name == "smollm2"
    assert pulled == ["smollm2"]
    assert "[Y/n]" not in stderr.getvalue()


@pytest.mark.parametrize("answer", [b"\n", b"y\n", b"Yes\n"])
def test_on_a_terminal_enter_downloads(here: dict[str, str], pulled: list[str], answer: bytes) -> None:
    chosen, renderer, stderr = choice(here, answer)
    chosen.checkpoint("chat", renderer)
    assert pulled == ["smollm2"]
    assert "smollm2 (269 MB" in stderr.getvalue()


@pytest.mark.parametrize("answer", [b"n\n", b""])
def test_a_refusal_ends_with_the_command_to_run(here: dict[str, str], pulled: list[str], answer: bytes) -> None:
    chosen, renderer, _ = choice(here, answer)
    with pytest.raises(CheckpointNotFound) as error:
        chosen.checkpoint("chat", renderer)
    assert error.value.hint == "fetch it: lmcli pull smollm2"
    assert pulled == []


def test_offline_nothing_is_asked_or_fetched(here: dict[str, str], pulled: list[str]) -> None:
    chosen, renderer, stderr = choice(here, b"y\n", offline=True, model="qwen3-4b")
    with pytest.raises(CheckpointNotFound) as error:
        chosen.checkpoint("chat", renderer)
    assert "lmcli pull qwen3-4b" in str(error.value.hint)
    assert stderr.getvalue() == ""
    assert pulled == []


def test_an_unknown_name_is_not_offered_for_download(here: dict[str, str], pulled: list[str]) -> None:
    chosen, renderer, stderr = choice(here, b"y\n", model="qwen3-0.6")
    with pytest.raises(CheckpointNotFound) as error:
        chosen.checkpoint("chat", renderer)
    assert "did you mean 'qwen3-0.6b'" in str(error.value.hint)
    assert stderr.getvalue() == ""


def test_a_damaged_checkpoint_nobody_named_is_passed_over(here: dict[str, str]) -> None:
    own(here, "smollm2")
    (own(here, "opus-mt-en-zh", "seq2seq") / "model.safetensors").write_bytes(b"damaged")
    chosen, renderer, _ = choice(here)
    assert chosen.checkpoint("translate", renderer, ("en", "zh")).name == "smollm2"


def test_trusting_a_checkpoints_code_fetches_it_once_more(here: dict[str, str], pulled: list[str]) -> None:
    folder = own(here, "smollm2")
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoModel": "modeling_own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    chosen, renderer, _ = choice(here)
    chosen.checkpoint("chat", renderer)
    assert pulled == []
    trusting = EngineChoice(chosen.environment, {}, LoadOptions(trust_remote_code=True))
    trusting.checkpoint("chat", renderer)
    assert pulled == ["smollm2"]


def test_open_loads_what_was_chosen(here: dict[str, str], tmp_path: Path) -> None:
    loaded: list[Any] = []

    def load(checkpoint: Checkpoint, options: LoadOptions, report: Any) -> ScriptedEngine:
        loaded.append((checkpoint.name, options.device, options.dtype, options.trust_remote_code))
        return ScriptedEngine()

    environment = Environment(io.BytesIO(), io.StringIO(), io.StringIO(), here, load)  # type: ignore[arg-type]
    folder = folder_checkpoint(tmp_path / "mine")
    chosen = EngineChoice(environment, {"model": str(folder), "device": "cpu"}, LoadOptions(trust_remote_code=True))
    assert isinstance(chosen.open("chat", pick(environment, Output())), ScriptedEngine)
    assert loaded == [("mine", "cpu", "auto", True)]


def test_a_chat_model_that_stands_in_names_the_checkpoint_made_for_the_task(tmp_path: Path) -> None:
    engine = ScriptedEngine(["Bonjour."])
    known = {"LMCLI_MODEL": "", "LMCLI_CACHE": str(tmp_path)}
    folder_checkpoint(tmp_path / "checkpoints" / "smollm2")
    text = b"The weather is lovely today and we are going for a long walk by the river.\n"
    result = invoke("translate", "--to", "fr", stdin=text, engine=engine, variables=known)
    assert result.code == 0
    assert "smollm2 is a chat model; lmcli pull opus-mt-en-fr fetches one made for translation" in result.stderr
    assert (
        "lmcli pull" not in invoke("translate", "--to", "fr", "-q", stdin=text, engine=engine, variables=known).stderr
    )
    named = known | {"LMCLI_MODEL": "smollm2"}
    assert "lmcli pull" not in invoke("translate", "--to", "fr", stdin=text, engine=engine, variables=named).stderr
