"""Translation in other ways: asked again, line by line from a pipe, many texts, through English, into traditional
characters."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.commands._engine import EngineChoice
from lmcli.errors import InputError
from lmcli.tasks import side_by_side, translators
from lmcli.tasks.pivot import Pivot
from lmcli.tasks.translate import Translate, Untranslated
from lmcli.tasks.translation_check import TranslationCheck
from lmcli.text import chinese, live
from lmcli.types import Chunk, Done, Notice, SamplingParams, TaskResult


def engine(*answers, **options) -> ScriptedEngine:
    return ScriptedEngine(answers, checkpoint=checkpoint("seq2seq"), **options)


LONG = (
    "Ja. Wir sahen gestern Abend im alten Kino einen Film von 1954, 1961 oder 1970. Er war gut, lang, laut und bunt, "
)
FLAWS = {
    "": "nothing came",
    "Wir gehen heute Abend ins Kino.": "",
    "we go to the cinema this evening.": "the source came back",
    "und so weiter und so weiter und so weiter und so weiter und so": "it repeats itself",
    LONG + "und niemand von uns hat auch nur eine Minute geschlafen.": "it is far too long",
    "今天晚上我们去电影院看电影吧，好不好？": "it is Chinese",
}


@pytest.mark.parametrize(("answer", "flaw"), FLAWS.items())
def test_what_is_plainly_wrong_is_seen(answer, flaw):
    assert TranslationCheck("en", "de").flaw("we go to the cinema this evening.", answer) == flaw


def test_names_and_numbers_that_stay_are_no_echo():
    check = TranslationCheck("en", "de")
    assert not check.flaw("Visual Studio Code 2022", "Visual Studio Code 2022")
    assert not check.flaw("Very very very very good.", "Sehr sehr sehr sehr gut.")


def test_a_sentence_that_failed_is_asked_for_firmly_and_then_in_halves():
    class Penalized(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            self.params.append(params)
            return super().rewrite(texts, params, source, target)

    asked = Penalized(["", "", "Erstens,", "zweitens."], checkpoint=checkpoint("seq2seq"))
    result = TaskResult.fold(Translate("de", "en").run(asked, "First of all, second of all."))
    assert result.text == "Erstens, zweitens."
    assert asked.batches == [["First of all, second of all."]] * 2 + [["First of all,", "second of all."]]
    assert [params.repetition_penalty for params in asked.params] == [1.0, 1.2, 1.0]


def test_many_failures_are_told_of_ten_times_and_counted_once():
    events = list(Translate("de", "en").run(engine(""), "".join(f"Line {n}.\n" for n in range(30))))
    told = [event for event in events if isinstance(event, Notice) and not event.verbose]
    assert len(told) == 11
    assert told[1].text == "line 2: left as it is, nothing came: Line 1."
    assert told[-1].text == "30 of 30 sentences, or parts of them, are left as they were: nothing came (30)"
    assert sum(isinstance(event, Untranslated) for event in events) == 30


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_strict_ends_with_one_where_a_sentence_was_left(options, code):
    result = invoke("translate", "--to", "de", "--from", "en", *options, engine=engine(""), stdin=b"One.\n")
    assert (result.code, result.stdout) == (code, "One.\n")
    assert "line 1: left as it is, nothing came: One." in result.stderr


def test_many_texts_of_one_language_are_translated_together_and_each_keeps_its_own():
    asked = engine(lambda text: f"<{text}>")
    texts = ["One.\nTwo.", "Three.", "Four."]
    results = [TaskResult.fold(events).text for events in Translate("de", "en").run_many(asked, iter(texts))]
    assert results == ["<One.>\n<Two.>", "<Three.>", "<Four.>"]
    assert len(asked.batches) == 1


def test_a_text_nobody_read_does_not_shift_the_others():
    asked = engine(lambda text: f"<{text}>")
    many = Translate("de", "en").run_many(asked, ["One.", "Two.", "Three."])
    next(many)
    assert [TaskResult.fold(events).text for events in many] == ["<Two.>", "<Three.>"]


def test_of_many_texts_only_a_window_is_read_ahead():
    read = []
    many = Translate("de", "en").run_many(engine("Ja."), (read.append(n) or f"Text {n}." for n in range(500)))
    list(next(many))
    assert len(read) == side_by_side.MOST


def test_live_lines_are_translated_before_the_next_are_asked_for_and_code_is_kept():
    seen: list[str] = []

    def parts():
        for part in ("One.\n", "```\ncode here\n", "more code\n```\nTwo.\n"):
            seen.append(f"came {part!r}")
            yield part

    for event in Translate("de", "en").run_live(lambda source: engine(lambda text: f"<{text}>"), parts()):
        if isinstance(event, Chunk):
            seen.append(event.text)
    assert seen[:2] == ["came 'One.\\n'", "<One.>\n"]
    assert "".join(text for text in seen if not text.startswith("came")) == \
        "<One.>\n```\ncode here\nmore code\n```\n<Two.>\n"  # fmt: skip


LIVE = """
import sys
sys.path[:0] = {path!r}
from scripted import ScriptedEngine, checkpoint, sandbox
from lmcli.cli import run
from lmcli.environment import Environment
from dataclasses import replace
from pathlib import Path
engine = ScriptedEngine([lambda text: "<" + text + ">"], checkpoint=checkpoint("seq2seq"))
environment = Environment.of_process(lambda *_args, **_options: engine)
run(["translate", "--to", "de", "--from", "en"], replace(environment, variables=sandbox(Path({folder!r}), engine)))
print(len(engine.batches), file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe cannot be asked there what it holds")
def test_a_pipe_that_goes_on_is_answered_line_by_line(tmp_path):
    program = LIVE.format(path=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        for line in (b"One is here.\n", b"Two is there.\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == b"<" + line[:-1] + b">\n"  # while the pipe is open
        process.stdin.write(b"Three.\nFour.\nFive")
        process.stdin.flush()
        out, error = process.communicate(timeout=60)
    assert out == b"<Three.>\n<Four.>\n<Five>\n"
    assert int(error) <= 4  # Lines that came together were translated together.


def test_two_checkpoints_make_a_way_through_english():
    first = engine(lambda text: text.replace("eins", "one"))
    second = engine(lambda text: text.replace("one", "一"), target_languages=("zh",))
    events = list(Translate("zh", "de").run(Pivot(first, second), "`x` ist eins.\n"))
    assert TaskResult.fold(events).text == "`x` ist 一.\n"
    assert isinstance(events[-1], Done)


def test_a_sentence_too_long_in_between_is_handed_on_in_pieces():
    first, second = engine("one two three, four five six"), engine(lambda text: text, context_length=4)
    chunks = [
        event.text for event in Pivot(first, second).rewrite(["eins"], None, "de", "fr") if isinstance(event, Chunk)
    ]
    assert " ".join(chunks[0].split()) == "one two three, four five six"
    assert all(second.count(text) <= 4 for batch in second.batches for text in batch)


def test_the_way_through_english_is_taken_where_no_checkpoint_knows_both(monkeypatch):
    here = {("de", "en"): "opus-mt-de-en", ("en", "zh"): "opus-mt-en-zh"}
    asked = []
    monkeypatch.setattr(EngineChoice, "here", lambda self, task, languages: here.get(languages))
    monkeypatch.setattr(
        EngineChoice, "open", lambda self, *args: asked.append(self.flags.get("model")) or engine("一二三四五六七。")
    )
    result = invoke("translate", "--to", "zh", "--from", "de", stdin=b"Das ist ein Satz.")
    assert asked == ["opus-mt-de-en", "opus-mt-en-zh"]
    assert "translating through English: opus-mt-de-en, then opus-mt-en-zh" in result.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_traditional_characters_are_made_where_they_can_be_and_else_told_of(monkeypatch, installed):
    convert = (lambda text: text.replace("书", "書")) if installed else None
    monkeypatch.setattr(translators, "conversion", lambda *way: convert if way == ("zh", "zh-Hant") else None)
    asked = engine("我喜欢读书。", target_languages=("zh",))
    events = list(Translate("zh-Hant", "en").run(asked, "I like to read."))
    assert TaskResult.fold(events).text == ("我喜欢读書。" if installed else "我喜欢读书。")
    assert any("lmcli[chinese]" in event.text for event in events if isinstance(event, Notice)) is not installed


@pytest.mark.parametrize("installed", [True, False])
def test_traditional_characters_are_read_as_simplified_ones_where_only_those_are_known(monkeypatch, installed):
    convert = (lambda text: text.replace("書", "书")) if installed else None
    monkeypatch.setattr(translators, "conversion", lambda *way: convert if way == ("zh-Hant", "zh") else None)
    asked = engine("I like to read.", target_languages=("en",))
    events = list(Translate("en", "zh-Hant").run(asked, "我喜歡讀書。"))
    assert asked.batches == [["我喜歡讀书。" if installed else "我喜歡讀書。"]]
    assert any("lmcli[chinese]" in event.text for event in events if isinstance(event, Notice)) is not installed


def test_the_languages_of_a_checkpoint_are_listed():
    result = invoke("translate", "--languages", engine=engine(target_languages=("zh", "de")))
    assert result.code == 0
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["zh", "de"]


def test_live_lines_in_an_encoding_that_is_told_are_read():
    assert list(live.groups(io.BytesIO(), live.Beginning("été\nhiver".encode("cp1252"), True), "cp1252")) == [
        "été\nhiver"
    ]


def test_live_lines_that_are_no_utf_8_come_with_the_option_that_names_their_encoding():
    with pytest.raises(InputError) as caught:
        list(live.groups(io.BytesIO(), live.Beginning("été\n".encode("cp1252"), True)))
    assert "--encoding" in caught.value.hint


def test_a_chat_model_is_stopped_before_it_explains_its_translation():
    asked = ScriptedEngine(["Es regnet."])
    list(Translate("de", "en").run(asked, "It is raining."))
    assert asked.params[0].stop == ("\n\n",)


def test_a_base_model_is_stopped_at_the_end_of_its_line():
    asked = ScriptedEngine(["Es regnet."], checkpoint=checkpoint(instruct=False))
    list(Translate("de", "en", params=SamplingParams(stop=("###",))).run(asked, "It is raining."))
    assert asked.params[0].stop == ("###", "\n")


def test_a_model_that_only_announces_its_translation_is_asked_again_without_a_stop():
    asked = ScriptedEngine(["Here is the translation:", "Es regnet."])
    events = Translate("de", "en").run(asked, "It is raining.")
    assert TaskResult.fold(events).text == "Es regnet."
    assert [params.stop for params in asked.params] == [("\n\n",), ()]


def scripts(monkeypatch) -> None:
    convert = {"zh-Hant": lambda text: text.replace("书", "書"), "zh": lambda text: text.replace("書", "书")}
    ways = {("zh", "zh-Hant"), ("zh-Hant", "zh")}
    monkeypatch.setattr(chinese, "find_spec", lambda name: name == "opencc")
    monkeypatch.setattr(chinese, "_opened", lambda way: convert["zh-Hant" if way == "s2t" else "zh"])
    assert ways == set(chinese._WAYS)


@pytest.mark.parametrize(
    ("target", "text", "answer"), [("zh-TW", "我读书。", "我读書。"), ("zh", "我讀書。", "我讀书。")]
)
def test_chinese_characters_are_converted_without_a_checkpoint_and_code_stays(monkeypatch, target, text, answer):
    scripts(monkeypatch)
    source = "zh-Hant" if target == "zh" else "zh"
    stdin = f"# {text}\n\n`书書` {text}\n"
    result = invoke("translate", "--to", target, "--from", source, stdin=stdin.encode(), engine=engine(""))
    assert result.stdout == f"# {answer}\n\n`书書` {answer}\n"
    assert result.code == 0


def test_without_a_converter_a_model_rewrites_chinese_and_the_converter_is_named(monkeypatch):
    monkeypatch.setattr(chinese, "find_spec", lambda name: None)
    result = invoke("translate", "--to", "zh-TW", "--from", "zh", stdin="我读书。".encode(), engine=engine("我讀書。"))
    assert result.stdout.strip() == "我讀書。"
    assert "lmcli[chinese]" in result.stderr


def test_live_lines_choose_the_checkpoint_by_the_first_that_is_in_another_language():
    asked = []

    def opened(source: str) -> ScriptedEngine:
        asked.append(source)
        return engine("The service has begun.")

    parts = [
        "The program is starting and reads its settings now.\n",
        "服务已经启动，现在开始读取所有的设置文件。\n" * 3,
    ]
    text = "".join(e.text for e in Translate("en").run_live(opened, parts) if isinstance(e, Chunk))
    assert asked == ["zh"]
    assert text == parts[0] + "The service has begun.\n" * 3


def test_a_sentence_of_which_a_half_was_translated_is_told_as_such():
    asked = engine(lambda text: "" if "two" in text else "Hier ist eines,")
    events = list(Translate("de", "en").run(asked, "One is here, and two."))
    assert "Hier ist eines" in TaskResult.fold(events).text
    told = [event.text for event in events if isinstance(event, Untranslated)]
    assert told == ["line 1: left in part as it is, nothing came: One is here, and two."]
