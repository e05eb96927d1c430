"""Summaries without a model: sentences of the text itself, chosen by a graph, unchanged and in order."""

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedEngine, invoke

from lmcli.tasks.extract import Extract
from lmcli.tasks.summary_form import Size
from lmcli.text.prose import prose
from lmcli.text.ranking import mentions, select
from lmcli.types import Done, Notice, TaskResult

NEWS = """\
The council voted to close the old bridge over the river. The weather was mild.
Engineers told the council that the old bridge had cracks in every pier. A dog barked outside.
Traffic over the river will use the new bridge until the old bridge is repaired.
Tickets for the summer concert are on sale. The old bridge was built over the river in 1902.
"""
CHINESE = """\
市议会决定关闭河上的旧桥。天气很好。工程师说旧桥的每个桥墩都有裂缝。
旧桥修好之前，过河的车辆走新桥。夏季音乐会的门票已经开售。旧桥建于一九零二年。
"""


def summary(text: str, **wishes: object) -> str:
    return TaskResult.fold(Extract(**wishes).run(None, text)).text  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "main", "aside"), [(NEWS, "old bridge", "dog"), (CHINESE, "旧桥", "天气")])
def test_the_sentences_that_the_others_are_like_are_chosen(text, main, aside):
    chosen = summary(text, size=Size(2, "sentences"))
    assert main in chosen
    assert aside not in chosen


@pytest.mark.parametrize("text", [NEWS, CHINESE])
def test_sentences_come_in_their_order_and_unchanged(text):
    found = prose(text)
    chosen = summary(text, size=Size(3, "sentences"), layout="bullets").splitlines()
    places = [found.index(line.removeprefix("- ")) for line in chosen]
    assert len(places) == 3
    assert places == sorted(places)


def test_english_is_joined_with_spaces_and_chinese_without():
    assert ". E" in summary(NEWS, size=Size(200))
    assert " " not in summary(CHINESE, size=Size(300, "characters"))


@pytest.mark.parametrize("words", [15, 30, 60])
def test_a_number_of_words_is_come_near_to(words):
    assert abs(len(summary(NEWS, size=Size(words)).split()) - words) <= 8


def test_in_chinese_a_word_is_a_character():
    assert 20 <= len(summary(CHINESE, size=Size(30))) <= 40
    assert 20 <= len(summary(CHINESE, size=Size(30, "characters"))) <= 40


def test_a_headline_is_one_sentence_whatever_the_length():
    assert summary(NEWS, length="long", layout="headline") in prose(NEWS)


def test_focus_chooses_what_has_its_words_or_their_plural():
    assert "concert" in summary(NEWS, size=Size(1, "sentences"), focus="the concerts")
    assert "音乐会" in summary(CHINESE, size=Size(1, "sentences"), focus="音乐会")


def test_a_focus_that_the_text_does_not_mention_is_told():
    events = list(Extract(focus="zebras").run(None, NEWS))
    assert any("zebras" in event.text and not event.verbose for event in events if isinstance(event, Notice))
    assert TaskResult.fold(events).text == summary(NEWS)
    assert isinstance(events[-1], Done)


def test_what_was_said_already_is_not_said_again():
    twin = "The old bridge over the river is closed by the council."
    chosen = summary(f"{twin} {twin} {NEWS}", size=Size(3, "sentences"), layout="bullets").splitlines()
    assert len(set(chosen)) == 3


def test_headings_tables_code_and_line_breaks_stay_out():
    text = """\
# A heading. That ends well.

PLAIN TITLE
The first sentence runs on over two lines of a text that was broken
at a width, and ends here.

- An item is a sentence as well.
> So is a quotation from somebody.

| a | table. |
```
code = "is no prose at all."
```
"""
    assert prose(text) == [
        "The first sentence runs on over two lines of a text that was broken at a width, and ends here.",
        "An item is a sentence as well.",
        "So is a quotation from somebody.",
    ]


def test_broken_chinese_lines_are_joined_without_a_space():
    assert prose("这个很长的句子在这里\n换了行，然后才结束。\n") == ["这个很长的句子在这里换了行，然后才结束。"]


def test_a_text_without_a_whole_sentence_is_taken_line_by_line():
    assert prose("milk and bread\n\neggs\n---\n") == ["milk and bread", "eggs"]


@pytest.mark.parametrize("text", ["", "...", "Hello.", "!? !? !?", "字", "One. " * 50, "a\n" * 9])
def test_odd_texts_have_a_summary_too(text):
    events = list(Extract().run(None, text))
    assert isinstance(events[-1], Done)


@settings(deadline=None)
@given(st.lists(st.text("ab 。.字", max_size=12), max_size=12), st.integers(1, 5))
def test_a_selection_is_of_different_sentences_in_order(sentences, budget):
    chosen = select(sentences, [1] * len(sentences), budget)
    assert chosen == sorted(set(chosen))
    assert min(1, len(sentences)) <= len(chosen) <= budget


def test_a_book_takes_seconds_and_time_grows_with_its_length_alone():
    words = ["king", "river", "bread", "stone", "ship", "winter", "house", "road", "letter", "garden"]
    book = [f"The {words[n % 10]} of {words[n // 7 % 10]} and {n % 997} saw {n} {words[n % 3]}." for n in range(20_000)]
    start = time.perf_counter()
    assert len(select(book, [1] * len(book), 10)) == 10  # a matrix of them all would take 3 GB
    assert time.perf_counter() - start < 20


def test_mentions_knows_words_and_their_endings():
    assert mentions(["Two dragons came."], "dragon")
    assert not mentions(["An artist came."], "art exhibition of cats")


def test_without_a_checkpoint_it_is_the_default_and_says_what_to_pull():
    result = invoke("summarize", "--sentences", "1", stdin=NEWS.encode())
    assert (result.code, result.stdout.count("bridge") > 0) == (0, True)
    assert "lmcli pull smollm2" in result.stderr
    assert "lmcli pull" not in invoke("summarize", "--method", "extractive", stdin=NEWS.encode()).stderr


def test_with_a_checkpoint_it_is_used_unless_extractive_is_asked_for():
    engine = ScriptedEngine(["written"])
    assert invoke("summarize", engine=engine, stdin=NEWS.encode()).stdout == "written\n"
    assert "bridge" in invoke("summarize", "--method", "extractive", engine=engine, stdin=NEWS.encode()).stdout
    assert len(engine.prompts) == 1


def test_another_language_needs_a_model():
    result = invoke("summarize", "--method", "extractive", "--lang", "de", stdin=NEWS.encode())
    assert result.code == 2
    assert "--lang" in result.stderr
    assert "hint" in result.stderr
    assert invoke("summarize", "--method", "extractive", "--lang", "en", stdin=NEWS.encode()).code == 0


def test_json_has_the_fields_of_every_summary_and_no_checkpoint(tmp_path):
    path = tmp_path / "news.txt"
    path.write_text(NEWS)
    record = json.loads(invoke("summarize", "--method", "extractive", "--json", str(path)).stdout)
    assert {name: record[name] for name in ("task", "checkpoint", "finish_reason", "file")} == {
        "task": "summarize", "checkpoint": "", "finish_reason": "stop", "file": str(path)
    }  # fmt: skip
    assert "bridge" in record["text"]


def test_several_files_have_a_summary_each(tmp_path):
    for name, text in (("a.txt", NEWS), ("b.txt", CHINESE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    names = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    parts = invoke("summarize", "--method", "extractive", "--form", "headline", *names).stdout.split("\n\n")
    assert [part.splitlines()[0] for part in parts] == [f"==> {name} <==" for name in names]
    assert "旧桥" in parts[1]


def test_it_imports_no_torch(tmp_path):
    path = tmp_path / "news.txt"
    path.write_text(NEWS)
    program = (
        "import sys; from lmcli.cli import run; from lmcli.environment import Environment\n"
        f"code = run(['summarize', '--method', 'extractive', {str(path)!r}], Environment.of_process(None))\n"
        "sys.exit(code or str({'torch', 'transformers', 'tokenizers'} & set(sys.modules) or ''))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "bridge" in result.stdout
    assert result.stderr.strip() == ""
