"""The starters: what comes with lmcli answers where nothing else is here, and says so."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedEngine, checkpoint, folder_checkpoint, invoke, sandbox

from lmcli import checkpoints, engine
from lmcli.checkpoints import starters
from lmcli.cli import run
from lmcli.environment import Environment
from lmcli.settings import load
from lmcli.tasks.sentiment import Sentiment
from lmcli.tasks.translate import Translate
from lmcli.text.language import identify
from lmcli.types import Checkpoint, Label, LoadOptions, TaskResult

EN, ZH = b"The weather is lovely today and we are going for a long walk.\n", "今天天气很好，我们去公园散步。\n".encode()


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    """A machine where nothing was ever pulled, with the starters of an installation, and offline."""
    known = sandbox(tmp_path) | {"LMCLI_OFFLINE": "1"}
    folder_checkpoint(Path(known["LMCLI_STARTERS"]) / "sentiment", "classifier")
    folder_checkpoint(Path(known["LMCLI_STARTERS"]) / "translation", "seq2seq")
    return known


def own(here: dict[str, str], name: str, kind: str = "causal") -> Path:
    return folder_checkpoint(Path(here["LMCLI_CACHE"]) / "checkpoints" / name, kind)


def answer(*arguments: str, variables: dict[str, str], stdin: bytes = b"") -> tuple[str, str]:
    """The checkpoint that was opened, and what stderr says."""
    opened: list[str] = []

    def open_engine(found: Checkpoint, *_: Any, **__: Any) -> ScriptedEngine:
        opened.append(found.name)
        return ScriptedEngine(
            [lambda text: (ZH if text.isascii() else EN).decode().strip()],
            checkpoint=checkpoint(found.kind, found.name), target_languages=("en", "zh"),
        )  # fmt: skip

    stderr = io.StringIO()
    code = run(list(arguments), Environment(io.BytesIO(stdin), io.StringIO(), stderr, variables, open_engine))
    assert code == 0, stderr.getvalue()
    assert len(opened) == 1
    return opened[0], stderr.getvalue()


# Which checkpoint answers


@pytest.mark.parametrize("text", [EN, ZH, b"OK\n", EN + ZH, "這部電影太無聊了\n".encode()])
def test_sentiment_needs_nothing_fetched(here: dict[str, str], text: bytes) -> None:
    opened, told = answer("sentiment", stdin=text, variables=here)
    assert opened == "starter-sentiment"
    assert told.count("starter-sentiment answers; lmcli pull distilbert-") == 1


@pytest.mark.parametrize(("target", "text", "better"), [("zh", EN, "opus-mt-en-zh"), ("en", ZH, "opus-mt-zh-en")])
def test_translation_between_english_and_chinese_needs_nothing_fetched(
    here: dict[str, str], target: str, text: bytes, better: str
) -> None:
    opened, told = answer("translate", "--to", target, stdin=text * 3, variables=here)
    assert opened == "starter-translation"
    lines = [line for line in told.splitlines() if "starter" in line]
    assert len(lines) == 1
    assert "news" in lines[0]  # what it does badly
    assert f"lmcli pull {better} fetches a larger one made for translation" in lines[0]


@pytest.mark.parametrize(("target", "text"), [("zh-Hant", EN), ("en", "這部電影太無聊了，我們走吧。\n".encode())])
def test_traditional_characters_are_the_starters_too(here: dict[str, str], target: str, text: bytes) -> None:
    assert answer("translate", "--to", target, stdin=text, variables=here)[0] == "starter-translation"


def test_the_notice_is_kept_quiet_and_not_repeated_for_every_text(here: dict[str, str]) -> None:
    assert answer("sentiment", "-q", "Lovely.", variables=here)[1] == ""
    _, told = answer("sentiment", "--lines", stdin=EN * 40, variables=here)
    assert told.count("starter-sentiment") == 1


def test_what_was_pulled_for_the_task_comes_first(here: dict[str, str]) -> None:
    own(here, "distilbert-sst2", "classifier")
    own(here, "opus-mt-en-zh", "seq2seq")
    assert answer("sentiment", stdin=EN, variables=here) == ("distilbert-sst2", "")
    assert answer("sentiment", stdin=ZH, variables=here)[0] == "starter-sentiment"  # that one knows English alone
    assert answer("translate", "--to", "zh", stdin=EN, variables=here) == ("opus-mt-en-zh", "")
    assert answer("translate", "--to", "en", stdin=ZH, variables=here)[0] == "starter-translation"


def test_a_chat_model_that_is_here_comes_behind_the_starter(here: dict[str, str]) -> None:
    own(here, "smollm2")
    assert answer("sentiment", stdin=EN, variables=here)[0] == "starter-sentiment"
    assert answer("translate", "--to", "zh", stdin=EN, variables=here)[0] == "starter-translation"
    assert answer("chat", "Hello", variables=here)[0] == "smollm2"


def test_what_the_user_chose_comes_before_all(here: dict[str, str]) -> None:
    own(here, "smollm2")
    assert answer("sentiment", stdin=EN, variables=here | {"LMCLI_MODEL": "smollm2"}) == ("smollm2", "")
    assert answer("sentiment", "-m", "smollm2", stdin=EN, variables=here) == ("smollm2", "")
    Path(here["LMCLI_CONFIG"]).write_text('[models]\nsentiment = "smollm2"\n')
    assert answer("sentiment", stdin=EN, variables=here) == ("smollm2", "")


def test_other_languages_go_on_as_before(here: dict[str, str]) -> None:
    german = "Das Wetter ist heute schön, und wir gehen am Fluss spazieren.\n".encode()
    for arguments in (["sentiment"], ["translate", "--to", "zh"], ["translate", "--to", "de", "--from", "en"]):
        refused = invoke(*arguments, stdin=german, variables=here)
        assert (refused.code, "smollm2 is not on this machine" in refused.stderr) == (3, True)
    own(here, "smollm2")
    assert answer("sentiment", stdin=german, variables=here)[0] == "smollm2"
    assert answer("translate", "--to", "de", stdin=EN, variables=here)[0] == "smollm2"


def test_a_damaged_starter_is_passed_over(here: dict[str, str]) -> None:
    own(here, "smollm2")
    (Path(here["LMCLI_STARTERS"]) / "sentiment" / "model.safetensors").write_bytes(b"damaged")
    assert answer("sentiment", stdin=EN, variables=here)[0] == "smollm2"


def test_an_installation_without_starters_works_as_before(here: dict[str, str], tmp_path: Path) -> None:
    own(here, "smollm2")
    without = here | {"LMCLI_STARTERS": str(tmp_path / "nowhere")}
    assert answer("sentiment", stdin=EN, variables=without)[0] == "smollm2"
    assert "starter" not in invoke("list", variables=without).stdout


def test_the_languages_of_the_starter_are_listed(here: dict[str, str]) -> None:
    assert answer("translate", "--languages", variables=here)[0] == "starter-translation"


# By name


@pytest.mark.parametrize("name", ["starter-translation", "starter-en-zh", "starter-zh-en"])
def test_a_starter_is_known_by_its_names_everywhere(here: dict[str, str], name: str) -> None:
    assert answer("translate", "--to", "zh", "-m", name, stdin=EN, variables=here) == ("starter-translation", "")
    shown = json.loads(invoke("show", name, "--json", variables=here).stdout)
    assert (shown["name"], shown["kind"], shown["task"]) == ("starter-translation", "seq2seq", "translate")
    assert shown["with_lmcli"] is True
    assert name in checkpoints.names(here)


def test_a_starter_is_pulled_by_being_there(here: dict[str, str]) -> None:
    assert invoke("pull", "starter-sentiment", variables=here).code == 0


def test_list_marks_what_came_with_lmcli(here: dict[str, str]) -> None:
    alone = invoke("list", variables=here)
    assert "came with lmcli" in alone.stderr
    own(here, "smollm2")
    rows = json.loads(invoke("list", "--json", variables=here).stdout)
    assert {row["name"]: row["with_lmcli"] for row in rows} == {
        "starter-sentiment": True, "starter-translation": True, "smollm2": False
    }  # fmt: skip
    assert invoke("list", variables=here).stderr == ""


def test_a_starter_is_not_removed(here: dict[str, str]) -> None:
    refused = invoke("rm", "--yes", "starter-en-zh", variables=here)
    assert refused.code == 2
    assert "starter-translation is a part of lmcli and is not removed" in refused.stderr
    assert '[models] translate = "REF"' in refused.stderr
    assert starters.here(load(here))


def test_no_other_checkpoint_can_take_a_starters_name(here: dict[str, str]) -> None:
    folder = own(here, "smollm2")
    refused = invoke("quantize", str(folder), "-o", "starter-sentiment", variables=here)
    assert (refused.code, "already means another checkpoint" in refused.stderr) == (2, True)


# Those of this checkout


PACKAGE = load({"LMCLI_CONFIG": "/nowhere"})
SHIPPED = [starter for starter in starters.STARTERS if starters.is_here(starter, PACKAGE)]


@pytest.mark.parametrize("starter", SHIPPED, ids=lambda starter: starter.name)
def test_what_is_shipped_is_small_has_a_licence_and_runs_on_our_engine(starter: starters.Starter) -> None:
    found = starters.read(starter, PACKAGE)
    assert found is not None
    assert found.dtype in ("int8", "bfloat16")
    assert found.license
    assert sum(file.stat().st_size for file in found.path.rglob("*")) < 32e6
    assert engine.load(found, LoadOptions("cpu")).checkpoint == found
    assert {file.suffix for file in found.path.iterdir()} <= {".json", ".safetensors", ".md", ".svg"}


@pytest.mark.parametrize(
    ("text", "label"),
    [("我非常喜欢这部电影", "positive"), ("这部电影太无聊了", "negative"), ("会议下午三点开始", "neutral"),
     ("What a lovely day", "positive"), ("It broke after two days.", "negative"), ("It opens at nine.", "neutral")],
)  # fmt: skip
def test_the_shipped_sentiment_is_right_about_simple_sentences(text: str, label: str, shipped: Any) -> None:
    assert (
        next(event for event in Sentiment().run(shipped("sentiment"), text) if isinstance(event, Label)).name == label
    )


@pytest.mark.parametrize(("text", "source", "target"), [("She knows me.", "en", "zh"), ("她认识我。", "zh", "en")])
def test_the_shipped_translation_writes_the_other_language(text: str, source: str, target: str, shipped: Any) -> None:
    result = TaskResult.fold(Translate(target, source).run(shipped("translate"), text))
    assert identify(result.text) == target


@pytest.fixture(scope="module")
def shipped() -> Callable[[str], Any]:
    """The engine of the starter for a task."""

    @cache
    def open_for(task: str) -> Any:
        found = [starters.read(starter, PACKAGE) for starter in SHIPPED if starter.task == task]
        if not found or found[0] is None:
            pytest.skip("this checkout has no weights")
        return engine.load(found[0], LoadOptions("cpu"))

    return open_for
