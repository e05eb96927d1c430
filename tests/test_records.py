"""Many texts: records come out in their order with their own fields, a bad one stops nothing, a broken run goes on."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedEngine, checkpoint, invoke, plain

from lmcli.errors import InputTooLong, OutOfMemory, UsageError
from lmcli.render.pace import Pace
from lmcli.tasks.sentiment import Sentiment
from lmcli.tasks.summarize import Summarize
from lmcli.tasks.translate import Translate
from lmcli.text.inputs import Wish, read_inputs
from lmcli.text.records import rows
from lmcli.text.resume import finished
from lmcli.types import Chunk, Done, Progress, TaskResult


def by_word(text: str) -> dict[str, float]:
    return {"POSITIVE": 0.9, "NEGATIVE": 0.1} if "good" in text else {"POSITIVE": 0.2, "NEGATIVE": 0.8}


def classifier(probabilities=by_word, **options) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=probabilities, **options)


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def jsonl(*records: object) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def sentiment(*arguments: str, stdin: bytes = b"", engine: ScriptedEngine | None = None, **options):
    return invoke("sentiment", *arguments, engine=engine or classifier(), stdin=stdin, **options)


def test_records_keep_their_fields_and_their_order():
    texts = [f"{'good' if n % 3 else 'bad'} {n}" for n in range(200)]
    result = sentiment("--jsonl", stdin=jsonl(*({"id": n, "text": text, "z": [n]} for n, text in enumerate(texts))))
    found = objects(result.stdout)
    assert result.code == 0
    assert result.stderr == ""
    assert list(found[0]) == ["id", "text", "z", "label", "score", "scores"]
    assert [(record["id"], record["text"], record["z"]) for record in found] == [
        (n, text, [n]) for n, text in enumerate(texts)
    ]
    assert [record["label"] for record in found] == ["positive" if n % 3 else "negative" for n in range(200)]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson"])
def test_a_file_of_jsonl_is_records_and_comes_out_as_it_came_in(tmp_path, suffix):
    path = tmp_path / f"reviews{suffix}"
    path.write_bytes(jsonl({"text": "good", "id": 7}))
    (record,) = objects(sentiment(str(path)).stdout)
    assert (record["id"], record["label"]) == (7, "positive")


def test_a_piped_object_is_a_text_where_no_json_is_asked_for():
    engine = classifier()
    sentiment(stdin=b'{"text": "good"}\n', engine=engine)
    assert engine.batches == [['{"text": "good"}\n']]


def test_what_is_not_an_object_a_line_stays_one_text_under_jsonl():
    engine = classifier()
    sentiment("--jsonl", stdin=b'{\n "text": "good"\n}\n', engine=engine)
    assert len(engine.batches[0]) == 1


def test_a_csv_comes_out_as_csv_with_two_columns_more(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes('\ufeffid,review\r\n1,"good, \nand ""so"""\r\n\r\n2,坏\r\n'.encode())
    result = sentiment("--field", "review", str(path))
    assert result.stdout == 'id,review,label,score\n1,"good, \nand ""so""",positive,0.9000\n2,坏,negative,0.8000\n'
    assert (result.code, result.stderr) == (0, "")


def test_a_csv_becomes_jsonl_where_it_is_asked_for(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n1,good\n")
    (record,) = objects(sentiment("--field", "review", "--jsonl", str(path)).stdout)
    assert record == {"id": "1", "review": "good", "label": "positive", "score": 0.9,
                      "scores": {"positive": 0.9, "negative": 0.1}}  # fmt: skip


@pytest.mark.parametrize(
    ("piped", "expected"),
    [
        (b"id\treview\n1\ta good, long one\n", "id\treview\tlabel\tscore\n1\ta good, long one\tpositive\t0.9000\n"),
        (b"id,review\n1,good\n", "id,review,label,score\n1,good,positive,0.9000\n"),
        (b"review\ngood\n", "review,label,score\ngood,positive,0.9000\n"),
    ],
)
def test_the_form_of_what_is_piped_is_seen_by_its_header(piped, expected):
    assert sentiment("--field", "review", stdin=piped).stdout == expected


def test_a_csv_without_a_named_field_is_a_text(tmp_path):
    path = tmp_path / "menu.csv"
    path.write_text("a,b\n1,2\n")
    engine = classifier()
    sentiment(str(path), engine=engine)
    assert engine.batches == [["a,b\n1,2\n"]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"id,review\n1,good\n"),
        ("a.jsonl", jsonl({"id": 1, "review": "good"})),
        ("a.txt", b"id,review\n1,x\n"),
    ],
)
def test_a_field_that_no_record_has_is_one_line_with_those_there_are(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    result = sentiment("--field", "reveiw", str(path))
    assert result.code == 2
    assert "no field 'reveiw'" in result.stderr
    assert "hint" in result.stderr
    assert name == "a.txt" or "it has id, review" in result.stderr


def test_a_bad_record_is_an_error_in_its_place_and_stops_nothing():
    lines = [
        b'{"text": "good", "id": 1}', b'{"text": "good', b"[1]", b'{"id": 4}', b'{"text": 5}', b'{"text": null}', b"",
        b'{"text": " "}', b'{"text": "half \\ud83d"}', b'{"text": "caf\xe9 good"}', b'{"text": "bad", "id": 11}',
    ]  # fmt: skip
    result = sentiment("--jsonl", stdin=b"\n".join(lines) + b"\n")
    found = objects(result.stdout)
    assert result.code == 1
    assert result.stderr == "8 of 10 records failed\n"
    assert [record.get("label") for record in found] == ["positive", *[None] * 8, "negative"]
    errors = [record["error"] for record in found[1:-1]]
    assert [error["line"] for error in errors] == [2, 3, 4, 5, 6, 8, 9, 10]
    said = ["not JSON", "no object", "no field 'text'; it has id", "a number", "null", "empty", "half a char", "0xe9"]
    assert all(words in error["message"] for words, error in zip(said, errors, strict=True))
    assert found[3]["id"] == 4


def test_a_text_the_engine_refuses_fails_alone_and_its_batch_does_not():
    def refusing(text: str) -> dict[str, float]:
        if "endless" in text:
            raise InputTooLong("a text has 9 tokens", "split it")
        return by_word(text)

    records = [{"text": text} for text in ("good", "endless", "bad", "good")]
    result = sentiment("--jsonl", stdin=jsonl(*records), engine=classifier(refusing))
    found = objects(result.stdout)
    assert [record.get("label") for record in found] == ["positive", None, "negative", "positive"]
    assert found[1]["error"] == {"message": "a text has 9 tokens", "hint": "split it", "exit_code": 5, "line": 2}
    assert result.code == 1


def test_an_error_that_is_not_of_one_text_ends_the_work():
    def full(text: str) -> dict[str, float]:
        raise OutOfMemory("the memory is full")

    result = sentiment("--jsonl", stdin=jsonl({"text": "good"}), engine=classifier(full))
    assert result.code == 6


def test_a_bad_row_of_a_table_keeps_its_row_and_is_told_with_its_line(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text('id,text\n1,good\n2,\n3,good,too,many\n4\n5,bad,\n6,"never closed\n7,good\n')
    result = sentiment("--field", "text", str(path))
    assert [row[0] for row in csv.reader(io.StringIO(result.stdout))] == ["id", "1", "2", "3", "4", "5", "6"]
    assert [row[-2] for row in csv.reader(io.StringIO(result.stdout))] == [
        "label", "positive", "", "", "", "negative", ""
    ]  # fmt: skip
    told = result.stderr.splitlines()
    assert [line.partition(":")[0].rpartition(" ")[2] for line in told[:-1]] == ["3", "4", "5", "7"]
    assert "4 cells, the header 2" in told[1]
    assert "never closed" in told[3]
    assert told[-1] == "4 of 6 records failed"


def test_the_fields_of_a_gold_label_stay_what_they_are():
    (record,) = objects(sentiment("--jsonl", stdin=jsonl({"text": "good", "label": "neutral"})).stdout)
    assert record == {"text": "good", "label": "neutral", "sentiment": "positive", "sentiment_score": 0.9,
                      "sentiment_scores": {"positive": 0.9, "negative": 0.1}}  # fmt: skip


def test_an_answer_goes_where_it_is_wanted():
    (record,) = objects(sentiment("--jsonl", "--into", "mood", stdin=jsonl({"text": "good"})).stdout)
    assert set(record) == {"text", "mood", "mood_score", "mood_scores"}


def test_no_field_is_overwritten():
    result = sentiment("--into", "text", "--jsonl", stdin=jsonl({"text": "good"}))
    assert result.code == 2
    assert "--into NAME" in json.loads(result.stdout)["error"]["hint"]
    late = objects(sentiment("--jsonl", stdin=jsonl({"text": "good"}, {"text": "good", "label": "old"})).stdout)
    assert late[1]["label"] == "old"
    assert "'label' already" in late[1]["error"]["message"]


@pytest.mark.parametrize(("command", "field"), [("summarize", "summary"), ("translate", "translation")])
def test_written_answers_stand_beside_the_text_they_are_of(command, field):
    engine = ScriptedEngine(["Eins.", "Zwei."], checkpoint=checkpoint("seq2seq"))
    target = ["--to", "de", "--from", "en"] if command == "translate" else []
    piped = jsonl({"text": "One is here."}, {"text": "Two is there."})
    found = objects(invoke(command, *target, "--jsonl", engine=engine, stdin=piped).stdout)
    assert found == [
        {"text": "One is here.", field: "Eins."}, {"text": "Two is there.", field: "Zwei."}
    ]  # fmt: skip


def test_one_command_goes_on_with_the_errors_of_another():
    upstream = {"text": "good", "error": {"message": "the first cause"}}
    (record,) = objects(sentiment("--jsonl", "--field", "summary", stdin=jsonl({"summary": "good"}, upstream)).stdout)[
        1:
    ]
    assert record["error"]["message"] == "the first cause"


def test_under_json_records_are_one_object():
    shown = json.loads(sentiment("--json", stdin=jsonl({"text": "good"}, {"text": 5})).stdout)
    assert [sorted(record) for record in shown["results"]] == [["label", "score", "scores", "text"], ["error", "text"]]


def test_a_line_that_fails_stands_in_its_place():
    lines = b"good one\ncaf\xe9\nbad one\n"
    result = sentiment("--lines", stdin=lines)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["positive", "", "negative"]
    assert result.code == 1
    assert result.stderr == "line 2: byte 0xe9 is no character of its encoding\n1 of 3 lines failed\n"
    found = objects(sentiment("--lines", "--jsonl", stdin=lines).stdout)
    assert "0xe9" in found[1]["error"]["message"]
    assert [record.get("input") for record in found][::2] == ["good one", "bad one"]


def test_of_many_lines_only_the_next_are_read():
    taken = count()
    results = Sentiment().run_many(classifier(), (f"good {next(taken)}" for _ in range(10**9)))
    assert len([list(events) for events in islice(results, 20)]) == 20
    assert next(taken) <= 64


def test_files_of_one_kind_are_one_stream(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(jsonl({"text": f"good {name}"}))
    found = objects(sentiment(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")).stdout)
    assert [record["text"] for record in found] == ["good a.jsonl", "good b.jsonl"]


def test_files_of_two_kinds_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "good"}))
    (tmp_path / "b.txt").write_text("good")
    (tmp_path / "c.csv").write_text("text\ngood\n")
    (tmp_path / "d.csv").write_text("id,text\n1,good\n")
    assert sentiment(str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt")).code == 2
    assert sentiment("--field", "text", str(tmp_path / "c.csv"), str(tmp_path / "d.csv")).code == 2
    mixed = sentiment("--field", "text", "--jsonl", *(str(tmp_path / name) for name in ("a.jsonl", "c.csv", "d.csv")))
    assert [record["label"] for record in objects(mixed.stdout)] == ["positive"] * 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_records_are_read_in_their_encoding(tmp_path, encoding):
    path = tmp_path / "评论.csv"
    text = "编号,评论\n" + "".join(f"{n},这家店的面条很好吃，我们下次还会再来的\n" for n in range(50))
    path.write_bytes(text.encode(encoding))
    result = sentiment("--field", "评论", str(path))
    assert result.stdout.splitlines()[50] == "49,这家店的面条很好吃，我们下次还会再来的,negative,0.8000"
    assert ("GB18030" in result.stderr) == (encoding == "gb18030")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"id,text\n"])
def test_nothing_to_work_on_is_refused(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    result = sentiment("--field", "text", str(path))
    assert result.code == 5


def test_a_missing_file_of_records_is_refused_before_any_is_worked_on(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "good"}))
    result = sentiment(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    assert (result.code, result.stdout) == (5, "")


def test_lines_and_records_are_two_things():
    assert sentiment("--lines", "--field", "text", stdin=b"good").code == 2


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2)))
def test_whatever_csv_writes_is_read_as_it_was(cells):
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b"], *cells])
    read = rows(io.StringIO(text.getvalue(), newline=""), "csv", "a")
    assert [list(row.fields.values()) for row in read] == cells


def test_a_name_is_not_given_to_two_columns():
    with pytest.raises(UsageError, match="'a'"):
        list(rows(["a,a\n", "1,2\n"], "csv", "a"))


# Resuming


def broken_after(n: int):
    seen = count()

    def probabilities(text: str) -> dict[str, float]:
        if next(seen) >= n:
            raise KeyboardInterrupt
        return by_word(text)

    return classifier(probabilities)


RECORDS = [{"id": n, "text": f"{'good' if n % 3 else 'bad'} 好 {n}"} for n in range(60)]


@pytest.mark.parametrize(
    ("form", "torn"),
    [
        ("jsonl", b""), ("jsonl", b'{"id": 16, "te'), ("jsonl", "{'id': 16, '好".encode()[:-1]), ("csv", b""),
        ("csv", b"16,good"), ("csv", b'16,"good\nand\n'), ("tsv", b""), ("tsv", b"16\t"), ("tsv", b'16\t"go\nand'),
    ],
)  # fmt: skip
def test_a_broken_run_goes_on_where_it_stopped_and_does_no_record_twice(tmp_path, form, torn):
    source, out = tmp_path / f"in.{form}", tmp_path / f"out.{form}"
    if form == "jsonl":
        source.write_bytes(jsonl(*RECORDS))
    else:
        rows_of = "".join({"csv": "{id},{text}\n", "tsv": "{id}\t{text}\n"}[form].format(**row) for row in RECORDS)
        source.write_text({"csv": "id,text\n", "tsv": "id\ttext\n"}[form] + rows_of)
    arguments = ["--field", "text", str(source)]
    whole = sentiment(*arguments).stdout
    broken = sentiment(*arguments, "--resume", str(out), engine=broken_after(40))
    assert broken.code == 130
    assert f"16 are in {out}; the same command goes on from there" in broken.stderr
    assert whole.startswith(out.read_text())
    with out.open("ab") as file:
        file.write(torn)
    engine = classifier()
    resumed = sentiment(*arguments, "--resume", str(out), engine=engine)
    assert (resumed.code, resumed.stdout) == (0, "")
    assert out.read_text() == whole
    assert sum(map(len, engine.batches)) == 44
    again = classifier()
    assert sentiment(*arguments, "--resume", str(out), engine=again).code == 0
    assert again.batches == []
    assert out.read_text() == whole


def test_what_was_redirected_into_a_file_is_gone_on_with(tmp_path):
    out = tmp_path / "out.jsonl"
    whole = sentiment("--jsonl", stdin=jsonl(*RECORDS)).stdout
    out.write_text(whole[: len(whole) // 2])
    sentiment("--resume", str(out), "--field", "text", stdin=jsonl(*RECORDS))
    assert out.read_text() == whole


def test_lines_are_resumed_as_json(tmp_path):
    out = tmp_path / "out.jsonl"
    lines = "".join(f"good 好 {n}\n" for n in range(60)).encode()
    sentiment("--lines", "--resume", str(out), stdin=lines, engine=broken_after(20))
    assert len(objects(out.read_text())) == 16
    sentiment("--lines", "--resume", str(out), stdin=lines)
    assert out.read_text() == sentiment("--lines", "--jsonl", stdin=lines).stdout


def test_whole_documents_are_resumed_too(tmp_path):
    files = [str(tmp_path / f"{n}.txt") for n in range(6)]
    for file in files:
        Path(file).write_text(f"Text {file}.")

    def stop(prompt: str) -> str:
        raise KeyboardInterrupt

    out = tmp_path / "out.jsonl"
    engine = ScriptedEngine(["One.", "Two.", "Three.", "Four.", stop])
    assert invoke("summarize", "--resume", str(out), *files, engine=engine).code == 130
    assert invoke("summarize", "--resume", str(out), *files, engine=ScriptedEngine(["4.", "5.", "6."])).code == 0
    found = objects(out.read_text())
    assert [record["text"] for record in found] == ["One.", "Two.", "Three.", "4.", "5.", "6."]
    assert [record["file"] for record in found] == files


@pytest.mark.parametrize(
    "data", [jsonl({"text": "other", "label": "x"}), jsonl(*RECORDS, *RECORDS), b"no answers\n", b"[1]\n"]
)
def test_a_file_with_other_answers_is_refused_and_left_as_it_is(tmp_path, data):
    out = tmp_path / "out.jsonl"
    out.write_bytes(data)
    result = sentiment("--resume", str(out), "--field", "text", stdin=jsonl(*RECORDS))
    assert result.code == 2
    assert str(out) in result.stderr
    assert out.read_bytes() == data


def test_the_answers_are_never_added_to_the_records_themselves(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(*RECORDS))
    result = sentiment("--resume", str(path), str(path))
    assert result.code == 2
    assert path.read_bytes() == jsonl(*RECORDS)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    result = sentiment("--resume", str(tmp_path / "no" / "out.jsonl"), "--lines", stdin=b"good\n")
    assert result.code == 1
    assert "cannot be written" in result.stderr


def test_whole_rows_are_counted_to_the_byte(tmp_path):
    out = tmp_path / "out.csv"
    out.write_bytes('a,b\n1,"two\nlines 好"\n2,x\n'.encode())
    size = out.stat().st_size
    assert (finished(str(out), "csv").count, finished(str(out), "csv").size_bytes) == (2, size)
    out.write_bytes(out.read_bytes() + b'3,"torn\n')
    assert (finished(str(out), "csv").count, finished(str(out), "csv").size_bytes) == (2, size)
    assert finished(str(out), "csv").last == {"a": "2", "b": "x"}


# Progress


def test_progress_is_for_a_terminal_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(*RECORDS))
    assert sentiment(str(path)).stderr == ""


def test_the_share_that_is_read_is_known_of_files(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(*RECORDS))
    documents = read_inputs([str(path)], io.BytesIO(), Wish())
    assert documents.size_bytes == path.stat().st_size
    positions = [record.position for record in documents]
    assert positions == sorted(positions)
    assert positions[-1] == documents.size_bytes


def test_a_reader_that_has_enough_ends_a_stream_of_records(tmp_path):
    program = (
        "import io, sys; sys.path[:0] = ['tests']; from scripted import *; from lmcli.cli import leave, run\n"
        "import tempfile, pathlib; folder = pathlib.Path(tempfile.mkdtemp())\n"
        "engine = ScriptedEngine(checkpoint=checkpoint('classifier'))\n"
        'stdin = io.BytesIO(b\'{"text": "good"}\\n\' * 20000)\n'
        "environment = Environment(stdin, sys.stdout, sys.stderr, sandbox(folder, engine), lambda *a, **o: engine)\n"
        "leave(run(['sentiment', '--jsonl'], environment))\n"
    )
    command = f'{sys.executable} -c "$PROGRAM" | head -1; exit ${{PIPESTATUS[0]}}'
    variables = {**os.environ, "PROGRAM": program}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=variables, check=False)
    assert json.loads(result.stdout)["label"] == "positive"
    assert (result.returncode, result.stderr) == (0, "")


def test_the_pace_tells_what_is_done_how_fast_and_how_long_the_rest_takes():
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.line(Progress(1000, 0, "records", 0.2)) == "1,000 records · 20%"
    now[0] += 10
    assert pace.line(Progress(1100, 0, "records", 0.4)) == "1,100 records · 40% · 10/s · 0:00:30 left"
    assert pace.line(Progress(1002, 0, "records")) == "1,002 records · 12.0/min"


def test_a_terminal_shows_the_bar_where_the_answers_go_elsewhere(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(*RECORDS))
    result = sentiment(str(path), "--resume", str(tmp_path / "out.jsonl"), terminal=True)
    assert result.stdout == ""
    assert "records" in result.stderr


def test_where_the_answers_are_on_the_terminal_no_bar_stands_between_them(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(*RECORDS))
    result = sentiment(str(path), terminal=True)
    assert len(objects(result.stdout)) == 60
    assert "16 records" not in result.stderr


# Side by side


def marked(sentence: str) -> str:
    return f"<{sentence}>"


def test_the_sentences_of_several_records_are_one_batch():
    engine = ScriptedEngine([marked], checkpoint=checkpoint("seq2seq"))
    texts = [f"First {n} here. Second {n} there." for n in range(50)]
    found = [TaskResult.fold(events).text for events in Translate("de", "en").run_many(engine, texts)]
    assert found == [f"<First {n} here.> <Second {n} there.>" for n in range(50)]
    assert len(engine.batches) < 10
    assert len(engine.batches[0]) == 64


def test_the_prompts_of_several_records_are_worked_side_by_side(monkeypatch):
    handed = []
    asked = ScriptedEngine.stream_many

    def stream_many(self, prompts, params):
        handed.append(len(prompts))
        return asked(self, prompts, params)

    monkeypatch.setattr(ScriptedEngine, "stream_many", stream_many)
    engine = ScriptedEngine([lambda prompt: "word " * (len(prompt) % 7 + 1)], context_length=400)
    texts = [f"Text {n}. " + "It goes on and on. " * (90 if n == 3 else n % 5) for n in range(40)]
    alone = [TaskResult.fold(Summarize().run(engine, text)) for text in texts]
    handed.clear()
    together = [TaskResult.fold(events) for events in Summarize().run_many(engine, texts)]
    assert together == alone
    assert handed[0] > 30
    assert len(handed) < 10


def test_a_record_in_a_language_the_checkpoint_does_not_know_fails_alone():
    class Particular(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            if source != "en":
                raise UsageError(f"it does not know {source}")
            return super().rewrite(texts, params, source, target)

    engine = Particular([marked], checkpoint=checkpoint("seq2seq"))
    texts = [
        "The weather is fine today, and we all go out.",
        "我喜欢喝茶，也喜欢吃米饭。",
        "She reads a book in the garden.",
    ]
    piped = jsonl(*({"text": text} for text in texts))
    result = invoke("translate", "--to", "de", "--jsonl", stdin=piped, engine=engine)
    found = objects(result.stdout)
    assert [record.get("translation") for record in found] == [marked(texts[0]), None, marked(texts[2])]
    assert found[1]["error"]["message"] == "it does not know zh"
    assert result.code == 1


def test_one_text_too_long_among_many_prompts_fails_alone():
    class Short(ScriptedEngine):
        def stream_many(self, prompts, params):
            if any("endless" in plain(prompt) for prompt in prompts):
                raise InputTooLong("too long")
            return super().stream_many(prompts, params)

    texts = ["One.", "endless", "Two."]
    results = Summarize().run_many(Short(["Short."]), texts)
    assert TaskResult.fold(next(results)).text == "Short."
    with pytest.raises(InputTooLong):
        list(next(results))
    assert TaskResult.fold(next(results)).text == "Short."


def test_only_the_records_whose_text_was_cut_say_so():
    class Cutting(ScriptedEngine):
        def rewrite(self, texts, params, source=None, target=None):
            yield from (Chunk(text, cut="long" in text) for text in texts)
            yield Done("length")

    engine = Cutting(checkpoint=checkpoint("seq2seq"))
    results = Summarize().run_many(engine, ["A short one.", "A long one.", "Another."])
    assert [TaskResult.fold(events).finish_reason for events in results] == ["stop", "length", "stop"]


def test_what_is_no_texts_error_ends_all_and_leaves_no_thread():
    def full(text: str) -> str:
        raise OutOfMemory("the memory is full")

    before = threading.active_count()
    with pytest.raises(OutOfMemory):
        list(Summarize().run_many(ScriptedEngine([full], checkpoint=checkpoint("seq2seq")), ["A text."] * 5))
    results = Summarize().run_many(ScriptedEngine(["One."]), ["A text."] * 5)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_of_many_written_answers_only_the_next_texts_are_taken():
    taken = count()
    results = Summarize().run_many(ScriptedEngine(["One."]), (f"Text {next(taken)}." for _ in range(10**9)))
    assert len([list(events) for events in islice(results, 40)]) == 40
    assert next(taken) <= 96


@pytest.mark.parametrize("options", [["--lines"], []])
def test_an_encoding_that_is_told_is_not_told_again(tmp_path, options):
    path = tmp_path / "reviews.txt"
    path.write_bytes("été\nhiver\n".encode("latin-1"))
    result = sentiment(*options, "--encoding", "latin-1", str(path))
    assert result.code == 0
    assert result.stderr == ""
