"""What is no prose in a text, of every format, comes through a translation, whatever the translator writes."""

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.errors import InputError
from lmcli.tasks.translate import Translate
from lmcli.text import markup
from lmcli.text.formats import FORMATS, format_in
from lmcli.text.glossary import Glossary, read_glossary
from lmcli.text.layout import segments, written
from lmcli.text.subtitles import wrapped
from lmcli.types import TaskResult

MARKDOWN = """\
---
title: My page
---

# A **bold** title #

See [the *docs*](https://x.org/a_(b) "title") or [the guide][g], and ![a picture](img.png).
> Quoted text with `code | bar` in it.[^1]

1. First item with {name} and %(count)d files
2. [x] Second item: <b>strong</b> &nbsp; text<br/>

| Name | What it is |
|:-----|-----------:|
| `a`  | The first \\| letter |

<!-- a comment
of two lines -->
[g]: https://x.org/guide "Guide"
[^1]: The footnote stands here.
"""
SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there,\nmy old friend.\n\n2\n00:00:03,000 --> 00:00:04,000\n" \
    "- Who is it?\n- <i>It is me.</i>\n\n"  # fmt: skip
VTT = "WEBVTT - A title\n\nNOTE a note here\n\nintro\n00:01.000 --> 00:02.000 align:start\n<v Bob>Hello you\n"
PO = r"""# A comment
msgid ""
msgstr "Plural-Forms: nplurals=2; plural=(n != 1);\n"

#: a.c:3
#, c-format
msgctxt "menu"
msgid "Open the %s"
msgstr ""

msgid "%d old file"
msgid_plural "%d old files"
msgstr[0] ""
msgstr[1] ""

#, fuzzy
msgid "Close it"
msgstr "Schliessen"

msgid ""
"The first line.\n"
"The \"second\" line.\n"
msgstr ""
#~ msgid "old"
#~ msgstr "alt"
"""
HTML = "<!DOCTYPE html>\n<html><head><title>A page</title><script>var x = 'hello';</script></head><body class='a>b'>" \
    "<p>Hello <b>bold\n world</b> &amp; caf&eacute; <code>x = 1</code> here.</p>" \
    "<pre>not this</pre></body></html>"  # fmt: skip


def louder(sentence: str) -> str:
    return sentence.upper()


def translate(text: str, answer=louder, form=None, target="de", glossary=None) -> str:
    engine = ScriptedEngine([answer], checkpoint=checkpoint("seq2seq"))
    found = FORMATS[form] if form else None
    task = Translate(target, "en", form=found, glossary=glossary or Glossary())
    return TaskResult.fold(task.run(engine, text)).text


def said(text: str) -> str:
    """A translation that no check takes for an echo: each word by itself, backwards."""
    return re.sub(r"[^\W\d_]{2,}", lambda word: word[0][::-1], text)


@given(st.text("ab \n`*_[]()<>{}%$|#>-:.!\\/&;1", max_size=60))
@settings(max_examples=300)
def test_a_text_of_any_marks_is_laid_out_without_loss(text):
    for form in FORMATS.values():
        laid_out = list(segments(form.blocks(text), 30, len))
        assert "".join(written([(each, None) for each in laid_out], True, True)) == text


@given(st.text("ab `*_[]()<>{}%$|#!\\/&;1", max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_spans_joined_or_cut_are_the_text(text, ends):
    found = markup.spans(text)
    assert "".join(span.text for span in found) == text
    assert len(markup.hidden(found)) == len(text)
    cut = markup.cut(found, sorted(end for end in set(ends) if 0 < end < len(text)))
    assert "".join(span.text for group in cut for span in group) == text


@pytest.mark.parametrize("kept", [
    "`a. b`", "{name}", "{{ x }}", "%s", "%(name)s", "%1$s", "$VAR", "${VAR}", "&nbsp;", "https://x.org/a_(b)?c=d",
    "me@x.org", "/usr/bin/env", "src/main.rs", "--dry-run", "[^1]", "<https://x.org>", "<code>a b</code>", "\\*",
    "{count, plural, one {# file} other {# files}}", "%{name}", "$x_1 = 2$", ":smile:",
])  # fmt: skip
def test_what_a_program_reads_is_a_noun(kept):
    found = markup.spans(f"Here {kept} it is.")
    assert [span.text for span in found if span.role == "noun"] == [kept]


@pytest.mark.parametrize(
    "text", ["100% sure and/or 5 * 3 * 2", "snake_case_word costs $5 and $6", "a < b & c > d", "[so]"]
)
def test_plain_words_are_no_markup(text):
    assert markup.spans(text) == (markup.Span(text),)


TRANSLATORS = {
    "says each word backwards": said,
    "drops markers": lambda text: said(re.sub(r"[{<]\d+[}>]|X\d+X", "", text)),
    "doubles markers": lambda text: said(re.sub(r"([{<]\d+[}>]|X\d+X)", r"\1 \1", text)),
    "turns the sentence round": lambda text: said(" ".join(reversed(text.split()))),
    "says nothing": lambda text: "",
    "goes round in circles": lambda text: "und so weiter " * 40,
    "echoes": lambda text: text,
}


@pytest.mark.parametrize("answer", TRANSLATORS.values(), ids=TRANSLATORS)
def test_every_mark_of_a_markdown_page_comes_through_every_translator(answer):
    out = translate(MARKDOWN, answer)
    lines, before = out.splitlines(), MARKDOWN.splitlines()
    assert len(lines) == len(before)
    assert [re.match(r"[\s>#|\d.:-]*(\[.\] )?", line)[0] for line in lines] == [
        re.match(r"[\s>#|\d.:-]*(\[.\] )?", line)[0] for line in before
    ]
    for mark in ("**", "](https://x.org/a_(b) \"title\")", "][g]", "![", "](img.png)", "`code | bar`", "[^1]", "{name}",
                 "%(count)d", "<b>", "</b>", "&nbsp;", "<br/>", "`a`", "\\|", ' #\n', "title: My page",
                 "<!-- a comment\nof two lines -->", '[g]: https://x.org/guide "Guide"'):  # fmt: skip
        assert out.count(mark) == MARKDOWN.count(mark), mark


def test_a_translator_that_writes_markup_of_its_own_moves_no_cell_and_no_line():
    chaos = random.Random(0)
    out = translate(MARKDOWN, lambda text: "".join(chaos.choice("ab `*|\n>#-") for _ in range(len(text) + 9)) + "z")
    assert len(out.splitlines()) == len(MARKDOWN.splitlines())
    rows = [re.sub(r"\\\|", "", line).count("|") for line in out.splitlines() if line.startswith("|")]
    assert rows == [3, 3, 3]


def test_words_of_links_cells_and_headings_are_translated():
    out = translate(MARKDOWN)
    for words in ("A **BOLD** TITLE", "[THE *DOCS*](https", "![A PICTURE]", "| NAME |", "> QUOTED TEXT", "FOOTNOTE"):
        assert words in out, words


def test_a_marker_lets_a_name_move_in_its_sentence():
    assert translate("Give {name} the `key` now.", lambda text: "Den {2} bekommt {1}.") == "Den `key` bekommt {name}."


def test_a_pair_that_came_back_inside_out_is_asked_for_in_pieces():
    def turned(text: str) -> str:
        return re.sub(r"\{1\}(.*)\{2\}", r"{2}\1{1}", text.upper())

    assert translate("Press <b>this button</b> now.", turned) == "PRESS <b>THIS BUTTON</b> NOW."


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return text


def test_subtitles_keep_numbers_times_and_lines():
    words = ("Hello there", "my old friend", "Who is it", "It is me")
    assert translate(SRT) == replaced(SRT, *((each, each.upper()) for each in words))
    assert translate(VTT) == VTT.replace("Hello you", "HELLO YOU")


def test_the_lines_of_one_cue_are_translated_as_one_sentence():
    engine = ScriptedEngine([louder], checkpoint=checkpoint("seq2seq"))
    list(Translate("de", "en").run(engine, SRT))
    assert engine.batches[0][0] == "Hello there, my old friend."


@given(st.text("abc ", min_size=1, max_size=60), st.integers(1, 4))
def test_a_cue_never_has_more_lines_than_it_had(text, count):
    assert wrapped(text, count).count("\n") < count
    assert wrapped(text, count).replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_a_catalogue_gets_its_translations_and_keeps_those_it_has():
    out = translate(PO)
    assert out == (
        PO.replace('msgid "Open the %s"\nmsgstr ""', 'msgid "Open the %s"\nmsgstr "OPEN THE %s"')
        .replace('msgstr[0] ""', 'msgstr[0] "%d OLD FILE"').replace('msgstr[1] ""', 'msgstr[1] "%d OLD FILES"')
        .replace('msgstr ""\n#~', 'msgstr ""\n"THE FIRST LINE.\\n"\n"THE \\"SECOND\\" LINE.\\n"\n#~')
    )  # fmt: skip


def test_a_message_that_no_translation_came_for_stays_open():
    assert translate(PO, "") == PO


def test_a_page_keeps_its_tags_scripts_and_preformatted_text():
    assert translate(HTML) == replaced(
        HTML, ("A page", "A PAGE"), ("Hello <b>bold\n world</b>", "HELLO <b>BOLD WORLD</b>"), ("caf&eacute;", "CAFÉ"),
        (" here", " HERE"),
    )  # fmt: skip


def test_words_that_look_like_tags_are_escaped_on_a_page():
    assert translate("<html><p>Less than that</p>", lambda text: "a<b & c") == "<html><p>a&lt;b &amp; c</p>"


@pytest.mark.parametrize(("text", "name"), [(SRT, "srt"), (VTT, "vtt"), (PO, "po"), (HTML, "html"), (MARKDOWN, "text")])
def test_a_format_tells_itself(text, name):
    assert format_in(text).name == name


def test_indented_code_is_code_in_markdown_alone():
    text = "Run this:\n\n    make all things\n\nDone.\n"
    assert "    make all things" in translate(text, form="markdown")
    assert "    MAKE ALL THINGS" in translate(text)


TERMS = read_glossary("# terms\nmachine learning\tMaschinelles Lernen\nlearning\tLernen\nIT\tEDV\n", "terms.tsv")


@pytest.mark.parametrize(("text", "out"), [
    ("I like machine learning now.", "I LIKE Maschinelles Lernen NOW."),
    ("Learning is for it.", "Lernen IS FOR IT."),
    ("Learnings are fun.", "LEARNINGS ARE FUN."),
    ("LEARNING is `learning` here.", "LERNEN IS `learning` HERE."),
    ("Our IT works.", "OUR EDV WORKS."),
])  # fmt: skip
def test_a_glossary_settles_whole_words_the_longest_first_and_in_their_case(text, out):
    assert translate(text, glossary=TERMS) == out
    assert translate(text, lambda said: re.sub(r"\W\d\W|X\dX", "", said).upper(), glossary=TERMS).split() == out.split()


def test_a_term_of_a_script_without_spaces_gets_its_space():
    terms = Glossary((("机器学习", "machine learning"),))
    engine = ScriptedEngine([lambda text: text.replace("模型", "model")], checkpoint=checkpoint("seq2seq"))
    assert (
        TaskResult.fold(Translate("en", "zh", glossary=terms).run(engine, "机器学习模型")).text
        == "machine learning model"
    )


@pytest.mark.parametrize(
    ("text", "line"), [("a\tb\nno tab\n", "line 2"), ("a\tb\nA\tc\n", "line 2"), ("# none\n", "no terms")]
)
def test_a_slip_in_a_glossary_is_named_with_its_line(text, line):
    with pytest.raises(InputError, match=line):
        read_glossary(text, "terms.tsv")


def test_the_program_reads_a_glossary_and_tells_a_format_by_name(tmp_path: Path):
    terms, film = tmp_path / "terms.tsv", tmp_path / "film.srt"
    terms.write_text("friend\tKamerad\n")
    film.write_text(SRT)
    engine = ScriptedEngine([louder], checkpoint=checkpoint("seq2seq"))
    result = invoke("translate", "--to", "de", "--from", "en", "--glossary", str(terms), str(film), engine=engine)
    assert result.code == 0
    assert "HELLO THERE,\nMY OLD Kamerad." in result.stdout


def test_a_long_run_of_letters_takes_time_in_proportion():
    started = time.process_time()
    assert markup.words(markup.spans("a" * 60_000 + " me@example.org")).strip() == "a" * 60_000
    assert time.process_time() - started < 5  # In quadratic time it takes 20 seconds and more.
