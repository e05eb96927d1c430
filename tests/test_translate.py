"""lmcli translate: every sentence is translated once, and what stands around it comes through as it was."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.commands._engine import EngineChoice
from lmcli.errors import InputTooLong, UsageError
from lmcli.tasks.translate import Translate, Untranslated
from lmcli.text.layout import segments as laid_out
from lmcli.text.markdown import blocks
from lmcli.types import Chunk, Done, Notice, Progress, SamplingParams, TaskResult


def marked(sentence: str) -> str:
    return f"<{sentence}>"


def translator(**options) -> ScriptedEngine:
    return ScriptedEngine([marked], checkpoint=checkpoint("seq2seq"), **options)


def translate(text: str, engine: ScriptedEngine, target: str = "de", source: str | None = "en") -> str:
    return TaskResult.fold(Translate(target, source).run(engine, text)).text


def source_sentence(prompt: str) -> str:
    """The sentence a translation prompt asks for."""
    return re.search(r"English: (.*)\n\w+:$", prompt, re.S)[1]


@given(st.text(max_size=80), st.integers(1, 40))
def test_a_laid_out_text_joins_to_itself(text, limit):
    pieces = list(laid_out(blocks(text), limit, len))
    assert "".join(piece.text + piece.gap for piece in pieces) == text
    assert all(len(piece.text) <= limit for piece in pieces if piece.translatable)


def test_lines_blank_lines_and_indents_come_through():
    text = "\n\nTitle\n\n  First one. Second one.  \n\t\n- an item\n\n\nThe end."
    expected = "\n\n<Title>\n\n  <First one.> <Second one.>  \n\t\n- <an item>\n\n\n<The end.>"
    assert translate(text, translator()) == expected


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_come_through(ending):
    text = f"One.{ending}{ending}Two. Three.{ending}"
    assert translate(text, translator()) == f"<One.>{ending}{ending}<Two.> <Three.>{ending}"


def test_line_endings_come_through_the_whole_program(tmp_path):
    path = tmp_path / "dos.txt"
    path.write_bytes(b"One is here.\r\n\r\nTwo is there.\r\n")
    result = invoke("translate", "--to", "de", str(path), engine=translator())
    assert result.stdout == "<One is here.>\r\n\r\n<Two is there.>\r\n"


def test_every_sentence_of_a_long_text_is_translated_once_in_order():
    sentences = [f"Sentence {n} is here." for n in range(500)]
    engine = translator()
    text = "".join(sentence + ("\n" if n % 3 else " ") for n, sentence in enumerate(sentences))
    answer = translate(text, engine)
    assert [sentence for batch in engine.batches for sentence in batch] == sentences
    assert answer == re.sub(r"(Sentence \d+ is here\.)", r"<\1>", text)


def test_sentences_are_worked_in_batches_and_shown_as_each_is_done():
    engine = translator()
    events = list(Translate("de", "en").run(engine, "".join(f"Line {n} here.\n" for n in range(150))))
    assert [len(batch) for batch in engine.batches] == [64, 64, 22]
    assert sum(isinstance(event, Chunk) for event in events) == 3
    progress = [(event.done, event.total) for event in events if isinstance(event, Progress)]
    assert progress == [(64, 150), (128, 150), (150, 150)]
    assert sum(isinstance(event, Done) for event in events) == 1
    assert isinstance(events[-1], Done)


def test_a_sentence_longer_than_the_context_is_translated_in_pieces():
    words = [f"word{n}" for n in range(100)]
    engine = translator(context_length=12)
    answer = translate(" ".join(words) + ".", engine)
    assert all(engine.count(sentence) <= 12 for batch in engine.batches for sentence in batch)
    assert re.findall(r"word\d+", answer) == words


@pytest.mark.parametrize("line", ["---", "42", "https://example.org/a?b=c", "1.5 %", "***", "me@example.org", "😀"])
def test_a_line_without_words_is_not_translated(line):
    engine = translator()
    assert translate(f"Look here.\n{line}\nAnd there.", engine) == f"<Look here.>\n{line}\n<And there.>"
    assert engine.batches == [["Look here.", "And there."]]


def test_a_text_with_nothing_to_translate_passes_through():
    engine = translator()
    assert translate("1\n2\n", engine) == "1\n2\n"
    assert engine.batches == []


def test_spaces_between_sentences_follow_the_target_language():
    assert translate("你好。再见。\n早。", translator(), "en", "zh") == "<你好。> <再见。>\n<早。>"
    assert translate("Hello you. Good bye.  \nSo.", translator(), "zh") == "<Hello you.><Good bye.>  \n<So.>"


def test_a_sentence_that_comes_back_empty_is_kept_and_told():
    engine = ScriptedEngine(["", "Zwei."], checkpoint=checkpoint("seq2seq"))
    events = list(Translate("de", "en").run(engine, "One is lost.\nTwo is not.\n"))
    assert TaskResult.fold(events).text == "One is lost.\nZwei.\n"
    told = [event for event in events if isinstance(event, Notice)]
    assert "One is lost." in told[0].text
    assert not told[0].verbose


def test_an_answer_cannot_break_the_lines():
    engine = ScriptedEngine(['\n"Eins.\nZwei."\n\n'], checkpoint=checkpoint("seq2seq"))
    assert translate("One. Two is more\nNext", engine).count("\n") == 1


def test_quotation_marks_of_the_text_stay_and_those_of_the_model_go():
    engine = ScriptedEngine(["“Hallo.”"], checkpoint=checkpoint("seq2seq"))
    assert translate("Hello.", engine) == "Hallo."
    assert translate("“Hello.”", engine) == "“Hallo.”"


@pytest.mark.parametrize("answer", ['"Jia" and "Yi"', "“A” et “B”", "「甲」和「乙」"])
def test_quotation_marks_around_two_things_stay(answer):
    engine = ScriptedEngine([answer], checkpoint=checkpoint("seq2seq"))
    assert translate("Both of them.", engine) == answer


def test_fenced_code_comes_through_and_is_not_translated():
    text = "Run this:\n\n```sh\necho hello  # say it\n~~~\n```\n\n  ~~~\n  print this\n  ~~~~\nDone now.\n"
    engine = translator()
    expected = text.replace("Run this:", "<Run this:>").replace("Done now.", "<Done now.>")
    assert translate(text, engine) == expected
    assert engine.batches == [["Run this:", "Done now."]]


@pytest.mark.parametrize("text", ["```\nIt goes on.\n", "A title\n~~~~~~~\nIt goes on.\n\nMore\n~~~~\nThe end.\n"])
def test_a_line_that_opens_no_code_block_keeps_nothing_from_being_translated(text):
    engine = translator()
    translate(text, engine)
    assert "It goes on." in engine.batches[0]


@pytest.mark.parametrize("line", ["/usr/bin/env", "./run.sh", "~/notes", "C:\\Users\\me", "docs/text.md", "- a/b.py"])
def test_a_line_that_is_only_a_path_is_not_translated(line):
    engine = translator()
    assert translate(f"Look here.\n  {line}\n", engine) == f"<Look here.>\n  {line}\n"


@pytest.mark.parametrize("line", ["and/or", "Yes/No", "/我觉得不好。", "see /usr/bin now", "The end."])
def test_words_with_a_slash_are_translated(line):
    assert translate(line, translator()) == f"<{line}>"


@pytest.mark.parametrize("literal", ["`ls -l`", "{name}", "${HOME}", "{{ user.name }}", "https://example.org/a"])
@pytest.mark.parametrize("says", ["Hallo.", "", "Hallo, geh weiter {9}.", "{1} {1}"])
def test_what_a_program_reads_comes_through_a_translator_that_loses_it(literal, says):
    answer = translate(f"Hello {literal}, go on.", ScriptedEngine([says], checkpoint=checkpoint("seq2seq")))
    assert answer.count(literal) == 1


def test_a_language_model_is_asked_sentence_by_sentence():
    engine = ScriptedEngine([lambda prompt: marked(source_sentence(prompt))])
    text = "One is here. Two is there.\n\nThree.\n"
    assert translate(text, engine) == "<One is here.> <Two is there.>\n\n<Three.>\n"
    assert len(engine.prompts) == 3
    assert all("German" in prompt for prompt in engine.prompts)
    assert all(params.temperature == 0 and not params.think for params in engine.params)
    assert engine.params[0].max_tokens == 3 * 3 + 32


def test_sentences_worked_side_by_side_are_shown_in_order_and_each_as_soon_as_it_can_be():
    sentences = [f"Number {n} " + "goes on and " * (11 * n % 13) + "ends." for n in range(40)]
    engine = ScriptedEngine([lambda prompt: marked(source_sentence(prompt).upper())])
    begun, shown = [], ""
    for event in Translate("de", "en").run(engine, "\n".join(sentences)):
        if isinstance(event, Chunk):
            begun.append(len(engine.prompts))
            shown += event.text
    assert shown == "\n".join(marked(sentence.upper()) for sentence in sentences)
    assert len(begun) == len(sentences)
    assert begun[0] < 5  # The first is shown while most have not been asked for.


def test_a_long_document_is_handed_to_a_language_model_in_stretches(monkeypatch):
    handed = []
    asked = ScriptedEngine.stream_many
    monkeypatch.setattr(
        ScriptedEngine,
        "stream_many",
        lambda self, texts, params: handed.append(len(texts)) or asked(self, texts, params),
    )
    sentences = [f"Sentence {n} is here." for n in range(300)]
    engine = ScriptedEngine([lambda prompt: marked(source_sentence(prompt))])
    assert translate(" ".join(sentences), engine) == " ".join(map(marked, sentences))
    assert handed == [64, 64, 64, 64, 44]


def test_a_language_model_never_gets_more_than_its_context_holds():
    words = [f"word{n}" for n in range(200)]
    engine = ScriptedEngine([lambda prompt: source_sentence(prompt)], context_length=100)
    answer = translate(" ".join(words) + ".", engine)
    assert re.findall(r"word\d+", answer) == words
    for prompt, params in zip(engine.prompts, engine.params, strict=True):
        assert engine.count(prompt) + params.max_tokens <= 100


def test_a_context_too_small_to_translate_in_is_refused():
    with pytest.raises(InputTooLong):
        translate("One.", ScriptedEngine(context_length=50))


class Cut(ScriptedEngine):
    def stream(self, prompt, params):
        self.prompts.append(prompt)
        yield Chunk("Eins")
        yield Done("length")


def test_a_translation_that_ended_where_the_user_wanted_says_so():
    params = SamplingParams(max_tokens=1)
    events = list(Translate("de", "en", params).run(Cut(), "One is here."))
    assert any(isinstance(event, Notice) and "One is here." in event.text for event in events)
    assert TaskResult.fold(events).text == "Eins"
    assert events[-1].finish_reason == "length"


def test_a_translation_that_never_comes_to_its_end_is_asked_for_again_and_else_left_out():
    engine = Cut()
    events = list(Translate("de", "en").run(engine, "One is here, and two."))
    assert TaskResult.fold(events).text == "One is here, and two."
    assert len(engine.prompts) == 4  # plainly, firmly, two halves
    assert [event.text for event in events if isinstance(event, Untranslated)] == [
        "line 1: left as it is, it ended at its longest: One is here, and two."
    ]


def test_usage_is_the_sum_of_all_sentences():
    engine = ScriptedEngine(["eins zwei"])
    result = TaskResult.fold(Translate("de", "en").run(engine, "One is here.\nTwo is there.\n"))
    assert result.usage.completion_tokens == 4
    assert result.usage.prompt_tokens == sum(map(engine.count, engine.prompts))


def test_the_source_is_identified_and_told_to_the_engine():
    seen = []

    class Pair(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            seen.append((source, target))
            return super().rewrite(texts, params, source, target)

    for text in ("今天的天气很好。", "Das Wetter ist heute sehr schön.", "Hello"):
        invoke("translate", "--to", "fr", engine=Pair(checkpoint=checkpoint("seq2seq")), stdin=text.encode())
    assert seen == [("zh", "fr"), ("de", "fr"), ("en", "fr")]


def test_traditional_chinese_is_told_only_to_a_checkpoint_that_knows_it():
    seen = []

    class Pair(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            seen.append(source)
            return super().rewrite(texts, params, source, target)

    for known in (("en",), ("en", "zh-Hant")):
        engine = Pair(checkpoint=checkpoint("seq2seq"), target_languages=known)
        translate("這個檔案說明來源。", engine, "en", None)
    assert seen == ["zh", "zh-Hant"]


def test_an_assumed_language_is_told_under_v_alone():
    assert invoke("translate", "--to", "de", engine=translator(), stdin=b"Hello").stderr == ""
    assert "--from" in invoke("translate", "--to", "de", "-v", engine=translator(), stdin=b"Hello").stderr


def test_a_text_in_the_target_language_passes_through():
    engine = translator()
    result = invoke("translate", "--to", "English", "--from", "en", engine=engine, stdin=b"Hello.\r\n")
    assert (result.code, result.stdout) == (0, "Hello.\r\n")
    assert "English already" in result.stderr
    assert engine.batches == []


def test_files_in_the_target_language_need_no_checkpoint(tmp_path):
    names = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    for name in names:
        Path(name).write_text("The mayor has opened the new bridge over the river.\n")
    result = invoke("translate", "--to", "en", "--offline", *names, engine=None)  # nothing to open, none to fetch
    assert result.code == 0
    assert result.stdout.count("The mayor has opened") == 2


def test_the_checkpoint_is_chosen_by_the_first_file_that_needs_one(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(EngineChoice, "open", lambda *args, **_: asked.append(args[3]) or translator())
    for name, text in (("a", "The mayor has opened the new bridge."), ("b", "今天的天气很好。")):
        (tmp_path / name).write_text(text)
    assert invoke("translate", "--to", "en", str(tmp_path / "a"), str(tmp_path / "b")).code == 0
    assert asked == [("zh", "en")]


def test_a_file_whose_language_the_checkpoint_does_not_know_is_named(tmp_path):
    class Pair(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            if source != "zh":
                raise UsageError("scripted does not translate from German into English")
            return super().rewrite(texts, params, source, target)

    for name, text in (("a.txt", "今天的天气很好。"), ("b.txt", "Das Wetter ist heute sehr schön.")):
        (tmp_path / name).write_text(text)
    engine = Pair(checkpoint=checkpoint("seq2seq"))
    result = invoke("translate", "--to", "en", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), engine=engine)
    assert result.code == 2
    assert f"{tmp_path / 'b.txt'}: scripted does not translate from German" in result.stderr


def test_an_unknown_language_is_a_usage_error_with_the_nearest():
    result = invoke("translate", "--to", "germen", stdin=b"Hello.")
    assert result.code == 2
    assert "did you mean 'de' (German)?" in result.stderr


def test_the_target_is_asked_for():
    result = invoke("translate", stdin=b"Hello.")
    assert result.code == 2
    assert "--to" in result.stderr


def test_json_holds_the_exact_text():
    result = invoke("translate", "--to", "de", "--json", engine=translator(), stdin=b" One is here.\r\n\r\n")
    record = json.loads(result.stdout)
    assert record["task"] == "translate"
    assert record["text"] == " <One is here.>\r\n\r\n"


def test_a_missing_file_is_one_line_before_anything_is_loaded():
    result = invoke("translate", "--to", "de", "/nowhere/absent.txt", engine=None)
    assert result.code == 5
    assert result.stderr.startswith("lmcli: /nowhere/absent.txt does not exist\n")
