"""lmcli ask: an answer out of files, the sentence that bears it out, and what is read of a text that is too long."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.errors import InputTooLong, UsageError
from lmcli.protocols import Found
from lmcli.tasks import side_by_side
from lmcli.tasks.ask import Ask
from lmcli.text.documents import Document
from lmcli.types import Checkpoint, Chunk, Done, Notice, Prompt, SamplingParams, Sources, TaskResult

NOTES = """\
The Kestrel project began in March 2019 above a bakery in Utrecht.
Its first engineer was Marta Lindqvist. She wrote the scheduler in four weeks.

The release was delayed because the database lost its index twice.
"""
FILLER = "Nothing of note happened on that quiet day. " * 12
LONG = "\n\n".join([FILLER] * 20 + [NOTES] + [FILLER] * 20)


def writer(*answers: str, **options) -> ScriptedEngine:
    return ScriptedEngine(answers or ("Marta Lindqvist",), **options)


@dataclass
class Marker:
    """Marks in the texts what the script says, with these probabilities."""

    found: Sequence[tuple[str, float]]
    nothing: float = 0.05
    context_length: int = 384
    checkpoint: Checkpoint = field(default_factory=lambda: checkpoint("qa", "marker", instruct=False))
    asked: list[tuple[str, list[str], int]] = field(default_factory=list)

    def count(self, prompt: Prompt) -> int:
        return len(str(prompt).split())

    def answer(self, question: str, texts: Sequence[str], top: int = 1) -> tuple[list[Found], float]:
        self.asked.append((question, list(texts), top))
        places = [
            Found(i, text.index(words), text.index(words) + len(words), score)
            for words, score in self.found
            for i, text in enumerate(texts)
            if words in text
        ]
        return places[:top], self.nothing


@pytest.fixture
def notes(tmp_path: Path) -> str:
    (tmp_path / "notes.txt").write_text(NOTES)
    return str(tmp_path / "notes.txt")


def events(engine, text: str = NOTES, **wishes):
    return list(Ask("Who wrote the scheduler?", **wishes).run(engine, text))


def sources(engine, text: str = NOTES, **wishes) -> Sources:
    (found,) = [event for event in events(engine, text, **wishes) if isinstance(event, Sources)]
    return found


# --- the program ----------------------------------------------------------------------------------------------------


def test_in_a_pipe_the_answer_stands_alone(notes: str) -> None:
    result = invoke("ask", "Who was the first engineer?", notes, engine=writer())
    assert (result.code, result.stdout, result.stderr) == (0, "Marta Lindqvist\n", "")


def test_quote_names_the_sentence_and_its_place_in_a_pipe_too(notes: str) -> None:
    result = invoke("ask", "--quote", "Who was the first engineer?", notes, engine=writer())
    assert result.stdout == f"Marta Lindqvist\n{notes}:2: Its first engineer was Marta Lindqvist.\n"


def test_on_a_terminal_the_quote_stands_dim_below_the_answer(notes: str) -> None:
    shown = invoke("ask", "Who was the first engineer?", notes, engine=writer(), terminal=True).stdout
    assert shown.startswith("Marta Lindqvist\n\x1b[2m")
    assert shown.endswith(":2: Its first engineer was Marta Lindqvist.\x1b[0m\n")
    plain = invoke("ask", "Who?", notes, "--no-color", engine=writer(), terminal=True).stdout
    assert "\x1b" not in plain
    assert "Lindqvist." in plain
    quiet = invoke("ask", "Who?", notes, "-q", engine=writer(), terminal=True).stdout
    assert quiet == "Marta Lindqvist\n"


def test_a_file_cannot_drive_the_terminal_by_its_quote(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text("The password\x1b]0;owned\x07 is swordfish.\n")
    shown = invoke("ask", "The password?", str(tmp_path / "evil.txt"), engine=writer("swordfish"), terminal=True).stdout
    assert "swordfish." in shown
    assert "\x1b]" not in shown


def test_json_has_the_quote_with_the_characters_it_stands_at(notes: str) -> None:
    result = json.loads(invoke("ask", "--json", "Who was first?", notes, engine=writer()).stdout)
    quote = result["quote"]
    assert NOTES[quote["start"] : quote["end"]] == quote["text"] == "Its first engineer was Marta Lindqvist."
    assert (quote["file"], quote["line"], result["file"]) == (notes, 2, notes)
    assert result["task"] == "ask"
    assert result["question"] == "Who was first?"
    assert result["text"] == "Marta Lindqvist"
    assert result["passages"] == []
    assert result["finish_reason"] == "stop"
    assert result["usage"]["completion_tokens"] == 2
    assert "answers" not in result


def test_the_text_may_come_from_standard_input() -> None:
    result = invoke("ask", "--quote", "Who?", engine=writer(), stdin=NOTES.encode())
    assert result.stdout.endswith("\nstandard input:2: Its first engineer was Marta Lindqvist.\n")


def test_of_several_files_the_quote_names_the_one(notes: str, tmp_path: Path) -> None:
    (tmp_path / "budget.txt").write_text("The budget for 2021 was 48,000 euros.\n")
    engine = writer("48,000 euros")
    result = invoke("ask", "--json", "How large was the budget?", notes, str(tmp_path / "budget.txt"), engine=engine)
    record = json.loads(result.stdout)
    assert record["quote"]["file"] == str(tmp_path / "budget.txt")
    assert "file" not in record
    assert f"{notes}:\nThe Kestrel" in engine.prompts[0]
    assert f"{tmp_path / 'budget.txt'}:\nThe budget" in engine.prompts[0]


def test_a_question_without_a_text_shows_the_help_on_a_terminal() -> None:
    from documented import Keyboard
    from scripted import Terminal

    from lmcli.cli import run
    from lmcli.environment import Environment

    stderr = Terminal()
    assert run(["ask", "Who?"], Environment(Keyboard(), Terminal(), stderr, {}, None)) == 2  # type: ignore[arg-type]
    assert "Usage: lmcli ask" in stderr.getvalue()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        ((), b"text", 2, "the question is missing"),
        (("  ",), b"text", 2, "the question is missing"),
        (("Who?",), b" \n", 5, "standard input is empty"),
        (("Who?", "nowhere.txt"), b"", 5, "nowhere.txt does not exist"),
        (("--top", "3", "Who?"), b"text", 2, "--top and --threshold go with checkpoints that mark"),
        (("--threshold", "1.5", "Who?"), b"text", 2, "1.5"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(arguments: tuple[str, ...], stdin: bytes, code: int, said: str) -> None:
    result = invoke("ask", *arguments, engine=writer(), stdin=stdin)
    assert (result.code, result.stdout) == (code, "")
    assert said in result.stderr


def test_a_checkpoint_of_another_kind_is_refused(notes: str) -> None:
    result = invoke("ask", "Who?", notes, engine=ScriptedEngine(checkpoint=checkpoint("classifier")))
    assert result.code == 3
    assert "it cannot do 'ask'" in result.stderr


@pytest.mark.parametrize(("flags", "kept"), [((), True), (("--no-cache-prompt",), False), (("--cache-prompt",), True)])
def test_the_text_is_kept_for_the_next_question_unless_told_otherwise(
    flags: tuple[str, ...], kept: bool, notes: str, tmp_path: Path
) -> None:
    import io

    from scripted import sandbox

    from lmcli.cli import run
    from lmcli.environment import Environment

    engine, asked = writer(), []

    def load(checkpoint, options, report):
        asked.append(options)
        return engine

    variables = sandbox(tmp_path, engine)
    assert (
        run(["ask", *flags, "Who?", notes], Environment(io.BytesIO(), io.StringIO(), io.StringIO(), variables, load))
        == 0
    )
    assert [options.cache_prompt for options in asked] == [kept]


# --- by a language model --------------------------------------------------------------------------------------------


def test_the_text_stands_before_the_question() -> None:
    engine = writer()
    events(engine)
    first, second = engine.prompts[0], Ask("Where was the office?")
    list(second.run(engine, NOTES))
    shared = len(first[: first.index("Who wrote")])
    assert engine.prompts[1][:shared] == first[:shared]
    assert NOTES.strip() in first[:shared]


def test_a_text_that_fits_is_read_whole() -> None:
    engine = writer()
    assert sources(engine).passages == ()
    assert NOTES.strip() in engine.prompts[0]


def test_of_a_text_that_is_too_long_the_passages_that_speak_of_it_are_read() -> None:
    engine = writer(context_length=1200)
    found = sources(engine, LONG)
    assert "Marta Lindqvist" in engine.prompts[0]
    assert engine.count(engine.prompts[0]) < 1200
    assert any("scheduler" in passage.text for passage in found.passages)
    assert all(LONG[passage.start : passage.end] == passage.text for passage in found.passages)
    assert [passage.start for passage in found.passages] == sorted(passage.start for passage in found.passages)
    assert found.quote is not None
    assert LONG[found.quote.start : found.quote.end] == found.quote.text == "Its first engineer was Marta Lindqvist."


def test_what_is_left_out_between_two_passages_is_marked() -> None:
    engine = writer(context_length=1200)
    text = "\n\n".join(["The scheduler is old."] + [FILLER] * 40 + ["Marta wrote it, the scheduler."])
    events(engine, text)
    assert "\n…\n" in engine.prompts[0]


def test_fewer_passages_may_be_asked_for() -> None:
    engine = writer(context_length=4000)
    found = sources(engine, LONG, passages=1)
    assert len(found.passages) == 1
    assert "scheduler" in found.passages[0].text
    assert sources(engine, NOTES, passages=3).passages, "also where the text would fit"


def test_a_question_without_a_word_of_a_long_text_is_told() -> None:
    said = [e for e in Ask("Wer?").run(writer(context_length=800), LONG) if isinstance(e, Notice) and not e.verbose]
    assert [notice.text for notice in said] == ["no passage has a word of the question: the first ones are read"]


@pytest.mark.parametrize(
    "answer", ["The text does not say.", "The text does not say who.", "文中没有提到。", "xyzzy", ""]
)
def test_an_answer_that_the_text_does_not_bear_out_has_no_quote(answer: str) -> None:
    assert sources(writer(answer)).quote is None


def test_a_context_too_small_for_any_text_is_refused() -> None:
    with pytest.raises(InputTooLong, match="are left for the text"):
        events(writer(context_length=100))


def test_a_base_checkpoint_continues_a_form_and_stops_at_its_line() -> None:
    engine = writer(checkpoint=checkpoint(instruct=False))
    events(engine)
    assert engine.prompts[0].endswith("\n\nQuestion: Who wrote the scheduler?\nAnswer:")
    assert engine.params[0].stop == ("\n",)


@pytest.mark.parametrize(
    ("question", "told"),
    [("谁写了调度器？", "文本"), ("誰寫了這個調度器？", "繁体中文"), ("Кто написал планировщик?", "in Russian"),
     ("누가 스케줄러를 썼습니까?", "in Korean")],
)  # fmt: skip
def test_the_answer_is_asked_for_in_the_language_of_the_question(question: str, told: str) -> None:
    engine = writer()
    list(Ask(question).run(engine, NOTES))
    assert told in engine.prompts[0]


def test_a_cut_answer_is_told_and_thoughts_are_not_asked_for() -> None:
    engine = writer()
    list(Ask("Who?", SamplingParams(max_tokens=7)).run(engine, NOTES))
    assert (engine.params[0].max_tokens, engine.params[0].think) == (7, False)


def test_many_texts_are_asked_side_by_side_and_only_a_window_of_them_is_taken_ahead() -> None:
    engine = writer(*map(str, range(500)))
    taken = []

    def texts():
        for number in range(500):
            taken.append(number)
            yield f"Text {number}."

    results = Ask("Which?").run_many(engine, texts())
    assert TaskResult.fold(next(results)).text == "0"
    assert len(taken) == side_by_side.MOST
    assert [TaskResult.fold(events).text for events in results] == [str(n) for n in range(1, 500)]


def test_an_answer_that_repeats_itself_ends_there() -> None:
    events = list(Ask("Who sleeps?").run(writer("The cat sleeps on the mat. " * 40), "The cat sleeps on the mat."))
    result = TaskResult.fold(events)
    assert result.text.count("The cat") <= 2
    assert any("repeat itself" in event.text for event in events if isinstance(event, Notice))
    assert result.sources is not None


def test_records_are_asked_each_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text('{"id": 1, "text": "Tom is a cat."}\n{"id": 2}\n{"id": 3, "text": "Rex is a dog."}\n')
    result = invoke("ask", "Who?", str(file), engine=writer("Tom", "Rex"))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row.get("answer") for row in rows] == ["Tom", None, "Rex"]
    assert ("error" in rows[1], result.code) == (True, 1)


# --- by a checkpoint that marks answers -----------------------------------------------------------------------------

FOUND = [("Marta Lindqvist", 0.8), ("four weeks", 0.1), ("bakery", 0.02)]


def test_the_likeliest_answer_is_the_text_itself_with_the_sentence_around_it(notes: str) -> None:
    result = invoke("ask", "--quote", "Who?", notes, engine=Marker(FOUND))
    assert result.stdout == f"Marta Lindqvist\n{notes}:2: Its first engineer was Marta Lindqvist.\n"
    assert json.loads(invoke("ask", "--json", "Who?", notes, engine=Marker(FOUND)).stdout)["no_answer"] == 0.05


def test_several_answers_stand_a_line_each_likeliest_first(notes: str) -> None:
    result = invoke("ask", "--top", "3", "Who?", notes, engine=Marker(FOUND))
    assert result.stdout == "Marta Lindqvist\nfour weeks\nbakery\n"
    record = json.loads(invoke("ask", "--top", "3", "--json", "Who?", notes, engine=Marker(FOUND)).stdout)
    assert [answer["score"] for answer in record["answers"]] == [0.8, 0.1, 0.02]
    assert all(NOTES[answer["start"] : answer["end"]] == answer["text"] for answer in record["answers"])


def test_answers_below_the_threshold_are_none(notes: str) -> None:
    assert invoke("ask", "--top", "3", "--threshold", "0.1", "Who?", notes, engine=Marker(FOUND)).stdout == (
        "Marta Lindqvist\nfour weeks\n"
    )
    result = invoke("ask", "--threshold", "0.9", "Who?", notes, engine=Marker(FOUND))
    assert (result.code, result.stdout, result.stderr) == (0, "", "the text does not hold an answer\n")


def test_where_none_is_likelier_than_the_best_there_is_no_answer(notes: str) -> None:
    record = json.loads(invoke("ask", "--json", "Who?", notes, engine=Marker(FOUND, nothing=0.81)).stdout)
    assert (record["text"], record["answers"], record["quote"], record["no_answer"]) == ("", [], None, 0.81)


def test_a_long_text_is_read_whole_and_of_chosen_passages_the_places_are_the_texts() -> None:
    engine = Marker(FOUND)
    list(Ask("Who?").run(engine, LONG))
    assert engine.asked[0][1] == [LONG]
    chosen = sources(engine, LONG, passages=2)
    assert len(engine.asked[1][1]) == len(chosen.passages) <= 2
    assert chosen.answers is not None
    assert LONG[chosen.answers[0].start : chosen.answers[0].end] == "Marta Lindqvist"


def test_the_file_of_an_answer_is_the_one_it_stands_in() -> None:
    documents = [Document("a.txt", "Nothing here.\n"), Document("b.txt", NOTES)]
    found = [event for event in Ask("Who?").over(Marker(FOUND), documents) if isinstance(event, Sources | Chunk | Done)]
    assert isinstance(found[0], Chunk)
    assert isinstance(found[1], Sources)
    assert found[1].quote is not None
    assert (found[1].quote.file, found[1].quote.line) == ("b.txt", 2)
    assert isinstance(found[2], Done)


def test_wishes_of_the_other_kind_are_refused_before_the_model_runs() -> None:
    engine = writer()
    with pytest.raises(UsageError, match="--top and --threshold"):
        events(engine, threshold=0.5)
    assert engine.prompts == []
