"""Examples are read from the files that people have, by the names their columns have, and parted for validation."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lmcli.data import Columns, Example, Place, read, read_examples, split
from lmcli.errors import InputError, UsageError
from lmcli.types import Message


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def file(name: str, text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


def jsonl(name: str, *rows: Any) -> str:
    return file(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def pairs(examples: list[Example]) -> list[tuple[str, str]]:
    return [(example.text, example.answer) for example in examples]


# Forms


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_same_rows_are_read_from_csv_tsv_jsonl_and_json_packed_or_not(suffix: str) -> None:
    rows = [{"text": "fine, thanks", "label": "good"}, {"text": "没意思", "label": "bad"}]
    files = [
        file(f"a.csv{suffix}", 'text,label\n"fine, thanks",good\n没意思,bad\n'),
        file(f"a.tsv{suffix}", "text\tlabel\nfine, thanks\tgood\n没意思\tbad\n"),
        jsonl(f"a.jsonl{suffix}", *rows),
        file(f"a.json{suffix}", json.dumps(rows, indent=1)),
        jsonl(f"lines.json{suffix}", *rows),
        file(f"held.json{suffix}", json.dumps({"version": 1, "data": rows})),
    ]
    for name in files:
        assert pairs(read_examples([name], "classify")) == [("fine, thanks", "good"), ("没意思", "bad")], name


def test_a_packed_file_is_known_by_its_content_and_a_form_by_the_first_line() -> None:
    assert pairs(read_examples([file("data", gzip.compress(b"text\tlabel\na\tb\n"))], "classify")) == [("a", "b")]
    assert pairs(read_examples([file("rows.txt", '{"text": "a", "label": "b"}\n')], "classify")) == [("a", "b")]
    assert pairs(read_examples([file("table.txt", "text,label\na,b\n")], "classify")) == [("a", "b")]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_csv_may_be_parted_by_semicolons_or_tabs(mark: str) -> None:
    name = file("a.csv", f'text{mark}label\n"one{mark} two"{mark}x\na, b{mark}y\n')
    assert pairs(read_examples([name], "classify")) == [(f"one{mark} two", "x"), ("a, b", "y")]


def test_each_example_tells_its_file_and_line() -> None:
    one = file("one.csv", 'text,label\n"over\ntwo lines",a\n\nnext,b\n')
    two = file("two.json", '[\n  {"text": "x", "label": "a"},\n\n  {"text": "y",\n   "label": "b"}\n]')
    places = [example.place for example in read_examples([one, two], "classify")]
    assert places == [Place("one.csv", 2), Place("one.csv", 5), Place("two.json", 2), Place("two.json", 4)]


def test_quotation_marks_of_a_plain_tsv_are_part_of_its_texts() -> None:
    name = file("t.tsv", 'en\tzh\n"More coffee?" "No."\t“再来点？”“不。”\n"Root" assemblies\t根程序集\nEnd\t"完\n')
    assert pairs(read_examples([name], "translate")) == [
        ('"More coffee?" "No."', "“再来点？”“不。”"),
        ('"Root" assemblies', "根程序集"),
        ("End", '"完'),
    ]


def test_quoted_cells_of_a_tsv_are_unpacked_and_may_hold_tabs_and_lines() -> None:
    name = file("t.tsv", 'text\tlabel\n"a ""quoted"" word"\tx\n"two\nlines"\ty\n"with\ttab"\tz\n')
    texts = [example.text for example in read_examples([name], "classify")]
    assert texts == ['a "quoted" word', "two\nlines", "with\ttab"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_the_encoding_is_found(encoding: str) -> None:
    text = "text,label\n" + "这部电影的故事很好，我们都很喜欢。,正面\n" * 5
    assert read_examples([file("a.csv", text.encode(encoding))], "classify")[0].answer == "正面"


def test_parquet_is_read_with_pyarrow() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"translation": [{"en": "Hi.", "zh": "你好。"}], "id": ["7"]})
    pytest.importorskip("pyarrow.parquet").write_table(table, "a.parquet")
    assert read_examples(["a.parquet"], "translate", languages=("zh", "en"))[0].text == "你好。"


def test_parquet_without_pyarrow_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match="Parquet") as caught:
        read_examples([file("a.parquet", b"PAR1....PAR1")], "classify")
    assert "lmcli[parquet]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "damaged"),
        ("a.csv", b"\x00\x01\x02" * 99, "binary"),
        ("gone.csv", None, "does not exist"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.json", b"[]", "has no rows"),
        ("a.json", b'{"text": oops}', "has no rows: it is not JSON"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read([name], "classify")


def test_broken_rows_are_told_with_their_lines_and_the_others_read() -> None:
    rows = (
        '{"text": "a", "label": 1}\nno json\n{"text": 5, "label": 1}\n{"label": 1}\n{"text": "\\ud83d", "label": 1}\n'
    )
    reading = read([file("a.jsonl", rows)], "classify")
    assert pairs(reading.examples) == [("a", "1")]
    assert [(row.place.line, row.reason.partition(":")[0]) for row in reading.broken] == [
        (2, "it is not JSON"),
        (3, "its field 'text' holds no text"),
        (4, "it has no field 'text'"),
        (5, "\\ud83d is half a character"),
    ]
    with pytest.raises(InputError, match=r"a\.jsonl, line 2 cannot be read, nor can 3 more rows"):
        read_examples(["a.jsonl"], "classify")


def test_a_surplus_cell_and_a_lost_array_are_broken_rows() -> None:
    plain = file("a.tsv", 'text\tlabel\n5" disk\tx\na\tb\tc\n')
    array = file("a.json", '[{"text": "a", "label": "b"},\n {"text": oops}]')
    reading = read([plain, array], "classify")
    assert [str(row.place) for row in reading.broken] == ["a.tsv, line 3", "a.json, line 2"]


# Columns


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"text": "t", "label": "l", "stars": 5}, ("t", "l")),
        ({"Review Text": "t", "Rating": 4.0, "id": 9}, ("t", "4")),
        ({"sentence": "t", "label": 0}, ("t", "0")),
        ({"text": "t", "label": 0, "label_text": "negative"}, ("t", "negative")),
        ({"comment": "t", "sentiment": True}, ("t", "true")),
        ({"tweet": "t", "verdict": "l"}, ("t", "l")),  # one is known, so the other is the other
        ({"poem": "t", "label": "l"}, ("t", "l")),
    ],
)
def test_usual_names_of_text_and_label_are_found(row: dict[str, Any], wanted: tuple[str, str]) -> None:
    assert pairs(read_examples([jsonl("a.jsonl", row)], "classify")) == [wanted]


@pytest.mark.parametrize(
    "names",
    [
        ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"),
        ("text", "hypothesis"), ("text1", "text2"),
    ],
)  # fmt: skip
def test_texts_that_are_judged_together_are_a_pair(names: tuple[str, str]) -> None:
    row = {"idx": 1, names[0]: "one", names[1]: "two", "label": 1}
    example = read_examples([jsonl("a.jsonl", row)], "classify")[0]
    assert (example.text, example.second, example.answer) == ("one", "two", "1")


def test_named_columns_go_before_the_usual_ones() -> None:
    name = file("a.csv", "text,title,label,stars\nbody,head,no,5\n")
    example = read_examples([name], "classify", Columns("title", "stars", "text"))[0]
    assert (example.text, example.answer, example.second) == ("head", "5", "body")


@pytest.mark.parametrize(
    ("task", "header", "columns", "message", "hint"),
    [
        ("classify", "review,comment,label", Columns(), "several columns .*text: review, comment", "--text-field"),
        ("classify", "text,stars,score", Columns(), "several columns .*label: stars, score", "--answer-field"),
        ("classify", "text,a,b", Columns(), "no column for the label; it has text, a, b", "--answer-field"),
        ("classify", "a,b,label", Columns(), "no column for the text; it has a, b, label", "--text-field"),
        ("classify", "text,label", Columns(answer="mood"), "no column 'mood'; it has text, label", "--answer-field"),
        ("classify", "text,label", Columns(second="x"), "no column 'x'", "--second-field"),
        ("summarize", "text,label", Columns(), "no column for the summary", "--answer-field"),
        ("chat", "text,label", Columns(), "no column for the prompt", "--text-field"),
        ("translate", "a,b", Columns(), "no column for the source text", "--text-field"),
        ("translate", "en,de,fr", Columns(), "more than two languages: en, de, fr", "--from and --to"),
        ("generate", "a,b", Columns(), "no column for the text", "--text-field"),
    ],
)  # fmt: skip
def test_a_missing_or_ambiguous_column_names_those_there_are_and_the_option(
    task: Any, header: str, columns: Columns, message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read([file("a.csv", header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")], task, columns)
    assert hint in str(caught.value.hint)


def test_the_columns_that_were_taken_are_told_by_file() -> None:
    reading = read([file("a.csv", "review,stars\ngood,5\n"), file("b.csv", "text,label\nbad,1\n")], "classify")
    assert reading.columns == {"a.csv": Columns("review", "stars"), "b.csv": Columns("text", "label")}


# Tasks


@pytest.mark.parametrize(
    "row",
    [
        {"en": "Hi.", "zh": "你好。", "doc": "x"},
        {"en_US": "Hi.", "zh-CN": "你好。"},
        {"Chinese": "你好。", "English": "Hi."},
        {"source": "Hi.", "target": "你好。"},
        {"src": "Hi.", "tgt": "你好。"},
        {"id": 3, "translation": {"en": "Hi.", "zh": "你好。"}},
        {"translation": "{'en': 'Hi.', 'zh': ['你好。']}"},
        {"en-zh": {"en": "Hi.", "zh": "你好。"}},
    ],
)
def test_the_sides_of_a_translation_are_found_by_language_or_role(row: dict[str, Any]) -> None:
    example = read_examples([jsonl("a.jsonl", row)], "translate", languages=("en", "zh"))[0]
    assert (example.text, example.answer, example.references) == ("Hi.", "你好。", ("你好。",))
    assert example.languages == ("en", "zh")


def test_languages_follow_from_the_columns_and_simplified_goes_before_traditional() -> None:
    name = file("a.tsv", "zh\tzh_trad\tpinyin\ten\n门\t門\tmen\tdoor\n")
    assert pairs(read_examples([name], "translate", languages=("zh", "en"))) == [("门", "door")]
    two = file("b.tsv", "id\tzh\ten\n1\t门\tdoor\n")
    assert read_examples([two], "translate")[0].languages == ("zh", "en")


def test_both_ways_gives_each_pair_twice() -> None:
    found = read_examples([file("a.tsv", "en\tzh\nDoor\t门\n")], "translate", languages=("en", "zh"), both_ways=True)
    assert [(one.text, one.answer, one.languages, one.references) for one in found] == [
        ("Door", "门", ("en", "zh"), ("门",)),
        ("门", "Door", ("zh", "en"), ("Door",)),
    ]
    with pytest.raises(UsageError, match="languages must be known"):
        read_examples([file("b.tsv", "source\ttarget\nDoor\t门\n")], "translate", both_ways=True)


def test_a_summary_may_have_several_references_and_the_first_is_the_answer() -> None:
    rows = [{"article": "a", "summary": ["short", "brief"]}, {"article": "b", "summary": "s", "title": "t"}]
    first, second = read_examples([jsonl("a.jsonl", *rows)], "summarize")
    assert (first.answer, first.references) == ("short", ("short", "brief"))
    assert (second.answer, second.references) == ("s", ("s",))


U, A, S = partial(Message, "user"), partial(Message, "assistant"), partial(Message, "system")


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, (U("q"), A("a"))),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]}, (U("q"),)),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, (U("q"), A("a"))),
        ({"turns": ["q", "a", "q2"]}, (U("q"), A("a"), U("q2"))),
        ({"prompt": "q", "response": "a", "system": "s"}, (S("s"), U("q"), A("a"))),
        ({"instruction": "do", "input": "this", "output": "a"}, (U("do\n\nthis"), A("a"))),
        ({"instruction": "do", "input": "", "output": "a"}, (U("do"), A("a"))),
        ({"question": "q", "answer": "a"}, (U("q"), A("a"))),
    ],
)
def test_conversations_are_read_in_the_usual_forms(row: dict[str, Any], wanted: tuple[Message, ...]) -> None:
    assert read_examples([jsonl("a.jsonl", row)], "chat")[0].messages == wanted


def test_a_message_of_no_known_role_breaks_its_row_alone() -> None:
    bad = {"messages": [{"role": "tool", "content": "x"}]}
    reading = read([jsonl("a.jsonl", bad, {"messages": "q"}, {"messages": [{"role": "user", "content": "q"}]})], "chat")
    assert [row.reason for row in reading.broken] == [
        "a message has the role 'tool'",
        "its messages are no list, or an empty one",
    ]
    assert len(reading.examples) == 1


@pytest.mark.parametrize("task", ["generate", "masked"])
def test_plain_texts_are_documents_and_rows_of_json_are_too(task: Any) -> None:
    text = "One, two,\n\nthree.\n"
    assert [one.text for one in read_examples([file("a.txt", text), file("b.md", "# Four")], task)] == [text, "# Four"]
    assert [one.text for one in read_examples([jsonl("c.jsonl", {"text": "x\n"}, {"text": "y"})], task)] == ["x\n", "y"]


def test_a_plain_text_is_no_table_for_other_tasks() -> None:
    with pytest.raises(UsageError, match="is a text, not a table"):
        read([file("a.txt", "Only words.\n")], "summarize")


def test_questions_are_read_in_the_forms_of_squad_cmrc_and_rows() -> None:
    squad = {"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": "It is 1943.", "qas": [
        {"question": "When?", "id": "1", "answers": [{"text": "1943", "answer_start": 6}, {"text": "in 1943"}]},
        {"question": "Why?", "id": "2", "answers": [], "is_impossible": True},
    ]}]}]}  # fmt: skip
    cmrc = [{"context_text": "光荣开发。", "qas": [{"query_text": "谁？", "answers": ["光荣", "光荣"]}]}]
    flat = {"context": "c", "question": "q", "answers": {"text": ["a", "b"], "answer_start": [0, 1]}}
    files = [file("dev.json", json.dumps(squad)), file("cmrc.json", json.dumps(cmrc)), jsonl("rows.jsonl", flat)]
    assert [(one.text, one.second, one.answer, one.references) for one in read_examples(files, "ask")] == [
        ("It is 1943.", "When?", "1943", ("1943", "in 1943")),
        ("It is 1943.", "Why?", "", ()),
        ("光荣开发。", "谁？", "光荣", ("光荣",)),
        ("c", "q", "a", ("a", "b")),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "choices": ["x", "y", "z"], "answer": 1},
        {"question": "q", "choices": ["x", "y", "z"], "answer": "B"},
        {"ctx": "q", "endings": ["x", "y", "z"], "label": "1"},
        {"question": "q", "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"Question": "q", "A": "x", "B": "y", "C": "z", "Answer": "b"},
        {"sentence": "q", "option1": "x", "option2": "y", "option3": "z", "answer": "2"},
        {"question": "q", "options": ["x", "y", "z"], "answer": "y"},
    ],
)
def test_choices_are_read_in_the_forms_of_the_benchmarks(row: dict[str, Any]) -> None:
    example = read_examples([jsonl("a.jsonl", row)], "choose")[0]
    assert (example.text, example.choices, example.answer) == ("q", ("x", "y", "z"), "y")


def test_an_answer_that_is_no_choice_breaks_its_row() -> None:
    reading = read([jsonl("a.jsonl", {"question": "q", "choices": ["x", "y"], "answer": 2})], "choose")
    assert reading.broken[0].reason == "its answer 2 is none of its 2 choices"


# Splitting


def labelled(count: int, *labels: str) -> list[Example]:
    return [Example(f"text {number}", labels[number % len(labels)]) for number in range(count)]


def test_a_tenth_is_kept_at_most_2000_and_order_stays() -> None:
    small = [Example(f"text {number}", f"summary {number}", references=("s",)) for number in range(300)]
    train, validation = split(small)
    assert (len(train), len(validation)) == (270, 30)
    assert train == [one for one in small if one in train]
    assert len(split([Example(str(n), "a", references=("a",)) for n in range(25_000)])[1]) == 2000


@pytest.mark.parametrize(("wanted", "count"), [(0.25, 50), (30, 30), (1, 1)])
def test_a_share_or_a_count_may_be_given(wanted: float, count: int) -> None:
    assert len(split(labelled(200, "a", "b"), wanted)[1]) == count


def test_a_seed_gives_the_same_split_whatever_the_order_of_the_rows() -> None:
    examples = labelled(200, "a", "b")
    kept = set(split(examples, 40, seed=1)[1])
    assert set(split(examples[::-1], 40, seed=1)[1]) == kept
    assert set(split(examples, 40, seed=2)[1]) != kept


def test_labels_are_kept_in_proportion_and_the_rarest_is_still_trained_on() -> None:
    examples = [*labelled(900, "often", "often", "seldom"), Example("only one", "once"), Example("two", "twice")]
    train, validation = split(examples, 0.2)
    counts = Counter(one.answer for one in validation)
    assert (counts["often"], counts["seldom"]) == (120, 60)
    assert {"once", "twice"} <= {one.answer for one in train}


def test_what_says_the_same_stays_on_one_side() -> None:
    examples = [Example(text, "a" if n % 2 else "b") for n in range(60) for text in (f"Text {n}", f"text  {n}")]
    train, validation = split(examples, 0.3)
    assert not {one.text.casefold().split()[1] for one in train} & {
        one.text.casefold().split()[1] for one in validation
    }
    both = [Example(f"en {n}", f"zh {n}", languages=("en", "zh")) for n in range(100)]
    both += [Example(one.answer, one.text, languages=("zh", "en")) for one in both]
    train, validation = split(both, 0.3)
    assert len(validation) in (59, 60)
    assert not {frozenset((one.text, one.answer)) for one in train} & {
        frozenset((one.text, one.answer)) for one in validation
    }


def test_of_few_plain_texts_the_end_of_each_is_kept() -> None:
    text = "".join(f"Paragraph {n}.\n\n" for n in range(100))
    (train,), (validation,) = split([Example(text, place=Place("a.txt", 1))], 0.1)
    assert train.text + validation.text == text
    assert validation.text.startswith("Paragraph 9")
    assert validation.place.line == 1 + train.text.count("\n")
