"""lmcli summarize: every sentence is read once, whatever the context holds, and the answer alone is on stdout."""

import json
import re
from dataclasses import replace

import pytest
from scripted import ScriptedEngine, checkpoint, invoke, plain

from lmcli.errors import CheckpointError, InputTooLong
from lmcli.tasks.summarize import Summarize
from lmcli.tasks.summary_form import Size
from lmcli.types import Chunk, Done, Notice, Progress, SamplingParams, TaskResult

SENTENCES = [f"Fact {n} says that item{n} costs {n}.5 pounds in town." for n in range(400)]
BOOK = "".join(sentence + ("\n\n" if n % 7 == 6 else " ") for n, sentence in enumerate(SENTENCES))


def facts(prompt: str) -> list[str]:
    return re.findall(r"item\d+ costs", prompt)


def brief(prompt: str) -> str:
    """A model that keeps its word: three words a part, five at the end."""
    return "a part's summary." if facts(prompt) else "the summary of it all."


def notices(events) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice)]


def test_a_text_that_fits_is_summarized_at_once():
    engine = ScriptedEngine(["It is short."])
    events = list(Summarize().run(engine, "One fact. Another fact."))
    assert TaskResult.fold(events).text == "It is short."
    assert len(engine.prompts) == 1
    assert "One fact. Another fact." in engine.prompts[0]


@pytest.mark.parametrize("context", [256, 600, 2048])
def test_every_sentence_of_a_long_text_is_read_exactly_once(context):
    engine = ScriptedEngine([brief], context_length=context)
    list(Summarize("short").run(engine, BOOK))
    read = [fact for prompt in engine.prompts for fact in facts(prompt)]
    assert read == [facts(sentence)[0] for sentence in SENTENCES]


def test_sentences_are_not_torn_between_parts():
    engine = ScriptedEngine([brief], context_length=300)
    list(Summarize("short").run(engine, BOOK))
    assert all(any(sentence in prompt for prompt in engine.prompts) for sentence in SENTENCES)


def test_only_the_last_summary_is_shown():
    engine = ScriptedEngine([brief], context_length=600)
    events = list(Summarize().run(engine, BOOK))
    assert "".join(event.text for event in events if isinstance(event, Chunk)) == "the summary of it all."
    assert sum(isinstance(event, Done) for event in events) == 1
    assert isinstance(events[-1], Done)


def test_progress_counts_the_parts_and_a_verbose_notice_tells_them():
    engine = ScriptedEngine([brief], context_length=600)
    events = list(Summarize().run(engine, BOOK))
    progress = [event for event in events if isinstance(event, Progress)]
    parts = len(engine.prompts) - 1
    assert [(event.done, event.total) for event in progress] == [(n + 1, parts) for n in range(parts)]
    told = notices(events)
    assert f"{parts} parts" in told[0].text
    assert told[0].verbose


def test_usage_is_the_sum_of_all_parts():
    engine = ScriptedEngine([brief], context_length=600)
    usage = TaskResult.fold(Summarize().run(engine, BOOK)).usage
    assert usage.prompt_tokens == sum(map(engine.count, engine.prompts))
    assert usage.completion_tokens == 3 * (len(engine.prompts) - 1) + 5


def test_summaries_that_are_still_too_long_are_summarized_again():
    def quarter(prompt: str) -> str:
        words = re.findall(r"item\d+", prompt)
        return " ".join(words[: max(1, len(words) // 4)]) + "."

    engine = ScriptedEngine([quarter], context_length=256)
    events = list(Summarize("short").run(engine, "\n\n".join(f"item{n}." for n in range(3000))))
    levels = [event for event in notices(events) if "parts" in event.text]
    assert len(levels) > 1
    assert isinstance(events[-1], Done)


def test_a_model_that_repeats_the_text_ends_in_an_error_not_a_loop():
    engine = ScriptedEngine([lambda prompt: prompt], context_length=256)
    with pytest.raises(InputTooLong) as caught:
        list(Summarize().run(engine, BOOK))
    assert caught.value.hint


def test_a_model_that_says_nothing_of_the_parts_ends_in_an_error():
    with pytest.raises(CheckpointError, match="no summary"):
        list(Summarize().run(ScriptedEngine([""], context_length=256), BOOK))


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_part_without_a_summary_is_told_and_keeps_its_first_sentences(kind):
    answers = iter(["", *["a part's summary."] * 100])
    engine = ScriptedEngine([lambda _prompt: next(answers)], context_length=600, checkpoint=checkpoint(kind))
    events = list(Summarize().run(engine, BOOK))
    assert any("no summary of part 1 of" in notice.text and not notice.verbose for notice in notices(events))
    assert SENTENCES[0] in engine.prompts[-1]
    assert SENTENCES[-1] not in engine.prompts[-1]


def test_parts_that_were_cut_are_told_under_v():
    class Cut(ScriptedEngine):
        def stream(self, prompt, params):
            for event in super().stream(prompt, params):
                yield (
                    replace(event, finish_reason="length")
                    if isinstance(event, Done) and facts(plain(prompt))
                    else event
                )

    engine = Cut([brief], context_length=600)
    told = [notice for notice in notices(Summarize().run(engine, BOOK)) if "longest" in notice.text]
    assert [notice.verbose for notice in told] == [True]


def test_no_summary_is_thought_over():
    engine = ScriptedEngine([brief], context_length=600)
    list(Summarize().run(engine, BOOK))
    assert not any(params.think for params in engine.params)


def test_a_context_too_small_for_the_instruction_is_refused():
    engine = ScriptedEngine(context_length=40)
    with pytest.raises(InputTooLong):
        list(Summarize().run(engine, BOOK))
    assert engine.prompts == []


def test_no_prompt_and_answer_together_exceed_the_context():
    engine = ScriptedEngine([brief], context_length=300)
    list(Summarize("long").run(engine, BOOK))
    for prompt, params in zip(engine.prompts, engine.params, strict=True):
        assert engine.count(prompt) + params.max_tokens <= 300


@pytest.mark.parametrize(("length", "words"), [("short", "30 words"), ("medium", "80 words"), ("long", "200 words")])
def test_the_length_is_said_in_the_prompt(length, words):
    engine = ScriptedEngine()
    invoke("summarize", "--length", length, engine=engine, stdin=b"The mayor opened the new bridge on Monday.")
    assert words in engine.prompts[0]


def test_words_and_bullets_are_said_in_the_prompt():
    engine = ScriptedEngine()
    text = b"The mayor opened the new bridge on Monday."
    invoke("summarize", "--words", "45", "--form", "bullets", engine=engine, stdin=text)
    assert "bullet points" in engine.prompts[0]
    invoke("summarize", "--words", "45", engine=engine, stdin=text)
    assert "45 words" in engine.prompts[1]


ENGLISH = "The mayor opened the new bridge on Monday, and many people came to see it."
ZH = "市长星期一为新桥揭幕，很多人来看。"


@pytest.mark.parametrize(("options", "text", "said"), [
    (["--sentences", "2"], ENGLISH, "in 2 sentences."), (["--sentences", "1"], ENGLISH, "in 1 sentence."),
    (["--chars", "300"], ENGLISH, "about 300 characters"), (["--form", "headline"], ENGLISH, "of at most 12 words"),
    (["--form", "bullets", "--sentences", "4"], ENGLISH, "list of 4 short bullet points"),
    (["--focus", "the bridge"], ENGLISH, "Summarize what this text says about the bridge in"),
    (["--lang", "German"], ENGLISH, "in German"), (["--lang", "en"], ZH, "in English"),
    (["--lang", "zh"], ENGLISH, "用中文概括"), (["--lang", "zh-TW"], ENGLISH, "用繁体中文"),
    (["--sentences", "2"], ZH, "写2句话"), (["--chars", "60"], ZH, "约60个字"), (["--words", "60"], ZH, "约60个字"),
    (["--form", "headline"], ZH, "写一个标题，不超过20个字"), (["--focus", "费用"], ZH, "关于“费用”的内容"),
    (["--form", "bullets", "--sentences", "3"], ZH, "共3个要点"),
])  # fmt: skip
def test_each_wish_is_said_in_the_prompt(options, text, said):
    engine = ScriptedEngine()
    assert invoke("summarize", *options, engine=engine, stdin=text.encode()).code == 0
    assert said in engine.prompts[0]


def test_an_english_text_is_not_told_to_be_summarized_in_english():
    engine = ScriptedEngine()
    invoke("summarize", engine=engine, stdin=ENGLISH.encode())
    assert "English" not in engine.prompts[0]


def test_two_lengths_exclude_one_another():
    result = invoke("summarize", "--words", "10", "--sentences", "2", engine=ScriptedEngine(), stdin=b"A text.")
    assert result.code == 2
    assert "exclude" in result.stderr


THREE = "Dr. Smith came. He saw it. Then he left for home. And so on."


@pytest.mark.parametrize(("wanted", "written", "shown"), [
    (2, THREE, "Dr. Smith came. He saw it."), (4, THREE, THREE), (9, THREE, THREE),
    (1, "它开了。人们来了，天气很好。", "它开了。"), (1, "It cost 3.5 million pounds.", "It cost 3.5 million pounds."),
])  # fmt: skip
def test_no_more_sentences_come_than_were_asked_for(wanted, written, shown):
    events = list(Summarize(size=Size(wanted, "sentences")).run(ScriptedEngine([written]), "A story."))
    result = TaskResult.fold(events)
    assert result.text == shown
    assert result.usage.prompt_tokens > 0
    assert result.usage.completion_tokens > 0


def test_sentences_come_as_they_are_written_not_all_at_the_end():
    events = Summarize(size=Size(2, "sentences")).run(ScriptedEngine([THREE]), "A story.")
    assert next(events) == Chunk("Dr.")


def test_bullets_have_one_mark_whatever_the_model_wrote():
    written = "* First it opened.\n2. Then it closed.\n\nThen 3.5 people came.\n- And more."
    events = Summarize(layout="bullets", size=Size(3, "sentences")).run(ScriptedEngine([written]), "A story.")
    assert TaskResult.fold(events).text == "- First it opened.\n- Then it closed.\n- Then 3.5 people came."


@pytest.mark.parametrize(
    "written", ['**"Bridge Opens"**\nIt opened.', "Headline: Bridge Opens", "\n# Bridge Opens\n\n"]
)
def test_a_headline_is_one_line_without_marks(written):
    result = TaskResult.fold(Summarize(layout="headline").run(ScriptedEngine([written]), "A story."))
    assert result.text == "Bridge Opens"


def test_a_model_that_repeats_itself_is_ended_and_nothing_of_the_loop_is_shown():
    engine = ScriptedEngine(["The bridge opened. " + "Many people came to see it. " * 50])
    events = list(Summarize().run(engine, "A story."))
    result = TaskResult.fold(events)
    assert result.text == "The bridge opened. Many people came to see it."
    assert result.usage.completion_tokens < 30
    assert any("repeat itself" in notice.text and not notice.verbose for notice in notices(events))


def test_what_is_said_twice_but_no_loop_is_shown_to_its_end():
    said = "Many people came to see it. Many people came to see it."
    assert TaskResult.fold(Summarize().run(ScriptedEngine([said]), "A story.")).text == said


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_part_that_repeats_itself_is_cut_and_told_and_the_rest_stays(kind):
    def loop_in_the_second(prompt: str) -> str:
        return "It goes on and on. " * 12 if "item100 " in prompt else brief(prompt)

    engine = ScriptedEngine([loop_in_the_second], context_length=600, checkpoint=checkpoint(kind))
    events = list(Summarize().run(engine, BOOK))
    assert engine.prompts[-1].count("goes on") == 1
    assert engine.prompts[-1].count("a part's summary.") > 3
    assert any("repeated itself on part" in notice.text and not notice.verbose for notice in notices(events))


def test_parts_are_summarized_in_their_own_language_and_only_the_last_in_the_one_asked_for():
    engine = ScriptedEngine([brief], context_length=600)
    list(Summarize(layout="bullets", language="de", focus="prices").run(engine, BOOK))
    assert not any("German" in prompt or "bullet" in prompt for prompt in engine.prompts[:-1])
    assert all("about prices" in prompt for prompt in engine.prompts)
    assert "in German as a list" in engine.prompts[-1]


def test_parts_begin_at_chapters():
    text = "".join(f"Chapter {n}\n\n{' '.join(SENTENCES[n * 25 : n * 25 + 25])}\n\n" for n in range(8))
    engine = ScriptedEngine([brief], context_length=600)
    list(Summarize("short").run(engine, text))
    assert all('"""\nChapter ' in prompt for prompt in engine.prompts[:-1])


@pytest.mark.parametrize(("options", "shown"), [
    (["--form", "bullets"], "- One came. \n- Two left.\n"), (["--sentences", "1"], "One came.\n"),
    (["--form", "headline"], "One came.\n"), ([], "One came. Two left.\n"),
])  # fmt: skip
def test_what_an_encoder_decoder_wrote_is_laid_out(options, shown):
    engine = ScriptedEngine(["One came. Two left."], checkpoint=checkpoint("seq2seq"))
    result = invoke("summarize", *options, engine=engine, stdin=ENGLISH.encode())
    assert result.stdout == shown.replace(". \n", ".\n")


@pytest.mark.parametrize(("option", "value"), [("--focus", "cost"), ("--lang", "de")])
def test_an_encoder_decoder_refuses_what_does_not_reach_it(option, value):
    engine = ScriptedEngine(checkpoint=checkpoint("seq2seq"))
    result = invoke("summarize", option, value, engine=engine, stdin=ENGLISH.encode())
    assert result.code == 2
    assert option in result.stderr
    assert "chat model" in result.stderr


def test_a_base_checkpoint_is_given_the_wishes_to_continue():
    engine = ScriptedEngine(checkpoint=checkpoint(instruct=False))
    invoke("summarize", "--lang", "de", "--focus", "cost", engine=engine, stdin=ENGLISH.encode())
    assert engine.prompts[0].endswith("\n\nSummary of what it says about cost in German:")
    invoke("summarize", "--form", "headline", engine=engine, stdin=ZH.encode())
    assert engine.prompts[1].endswith("\n\n标题：")


def test_a_chinese_text_is_asked_for_in_chinese_and_in_characters():
    engine = ScriptedEngine()
    invoke("summarize", "--length", "short", engine=engine, stdin="市长星期一为新桥揭幕。".encode())
    assert "50个字" in engine.prompts[0]
    assert "用中文" in engine.prompts[0]


def test_the_language_of_the_text_is_the_language_asked_for():
    engine = ScriptedEngine()
    text = "Der Bürgermeister hat am Montag die neue Brücke eröffnet, und viele Menschen kamen."
    invoke("summarize", engine=engine, stdin=text.encode())
    assert "in German" in engine.prompts[0]


def test_a_base_checkpoint_continues_and_says_so_only_when_asked():
    engine = ScriptedEngine(["It opened."], checkpoint=checkpoint(instruct=False))
    result = invoke("summarize", engine=engine, stdin=b"The bridge opened.")
    assert engine.prompts[0] == "The bridge opened.\n\nSummary:"
    assert (result.stdout, result.stderr) == ("It opened.\n", "")
    assert "base checkpoint" in invoke("summarize", "-v", engine=engine, stdin=b"The bridge opened.").stderr


def test_an_encoder_decoder_gets_the_text_itself_and_its_parts_in_a_batch():
    engine = ScriptedEngine([brief], context_length=200, checkpoint=checkpoint("seq2seq"))
    result = TaskResult.fold(Summarize().run(engine, BOOK))
    assert result.text == "the summary of it all."
    assert "".join(engine.batches[0]) == BOOK
    assert len(engine.batches) == 2


def test_a_classifier_cannot_summarize():
    result = invoke("summarize", engine=ScriptedEngine(checkpoint=checkpoint("classifier")), stdin=b"A text.")
    assert result.code == 3
    assert "classifier" in result.stderr


def test_a_summary_that_was_ended_says_so():
    class Cut(ScriptedEngine):
        def stream(self, prompt, params):
            yield Chunk("It is")
            yield Done("length")

    events = list(Summarize(params=SamplingParams(max_tokens=2)).run(Cut(), "A long story."))
    assert any("--max-tokens" in notice.text for notice in notices(events))
    assert isinstance(events[-1], Done)


def test_several_files_have_a_heading_each(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"The story of {name}.")
    names = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    result = invoke("summarize", *names, engine=ScriptedEngine(["first", "second"]))
    assert result.stdout == f"==> {names[0]} <==\nfirst\n\n==> {names[1]} <==\nsecond\n"


def test_json_names_the_file_and_jsonl_has_a_line_each(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The story.")
    record = json.loads(invoke("summarize", "--json", str(path), engine=ScriptedEngine(["short"])).stdout)
    assert (record["file"], record["text"], record["task"]) == (str(path), "short", "summarize")
    lines = invoke("summarize", "--jsonl", str(path), "-", engine=ScriptedEngine(["x"]), stdin=b"b").stdout
    records = [json.loads(line) for line in lines.splitlines()]
    assert [record.get("file") for record in records] == [str(path), None]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"a\0b", "binary"), (b"\xff\xfe\xfa bad", "UTF-16"), (b"caf\xe9 au lait", "offset 3"), (b"", "empty")],
)
def test_what_cannot_be_read_costs_no_load_and_one_line(tmp_path, data, said):
    path = tmp_path / "input.txt"
    path.write_bytes(data)
    result = invoke("summarize", str(path), engine=None)  # An engine that was opened would be missed.
    assert result.code == 5
    assert said in result.stderr
    assert "input.txt" in result.stderr.splitlines()[0]
    assert result.stdout == ""


def test_an_unreadable_file_is_an_error_object_in_json(tmp_path):
    result = invoke("summarize", "--json", str(tmp_path / "absent.txt"))
    assert json.loads(result.stdout)["error"]["exit_code"] == 5
    assert result.stderr == ""


def test_gb18030_is_read_and_said(tmp_path):
    path = tmp_path / "news.txt"
    path.write_bytes("市长说新的大桥是在星期一开的，很多人都来了。".encode("gb18030"))
    engine = ScriptedEngine()
    result = invoke("summarize", str(path), engine=engine)
    assert "新的大桥" in engine.prompts[0]
    assert "GB18030" in result.stderr
