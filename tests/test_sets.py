"""Evaluation sets by name: from a hub on the loopback, from its cache, and from folders as their authors make them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import Hub, Repository, commit, serving

from lmcli.data import Example, sets
from lmcli.data.set_folders import sets_in
from lmcli.errors import InputError, NetworkError, UsageError
from lmcli.settings import Settings, load

SST2 = [
    {"text": "a charming film", "label": 1, "label_text": "positive"},
    {"text": "dull", "label": 0, "label_text": "negative"},
]
FILES = {
    "dev.jsonl": "".join(json.dumps(row) + "\n" for row in SST2).encode(),
    "train.jsonl": b"{}\n",
    "README.md": b"",
}
PROGRAM = """
import json, os, sys
from lmcli.data import sets
from lmcli.errors import LmcliError
from lmcli.settings import load
found = None
for name in sys.argv[1:]:
    try:
        loaded = sets.load(sets.find(name), load(os.environ), lambda event: print(event, file=sys.stderr))
        found = [loaded.source, [[one.text, one.answer] for one in loaded.examples]]
    except LmcliError as error:
        print(f"{type(error).__name__}: {error.message} | {error.hint}", file=sys.stderr)
print(json.dumps(found))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def variables(tmp_path: Path, hub: Hub) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "LMCLI_"))}
    return keep | {
        "HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HOME": str(tmp_path / "home"),
        "LMCLI_CONFIG": str(tmp_path / "config.toml"), "PYTHONPATH": str(Path(__file__).parents[1]),
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip


def loaded(variables: dict[str, str], *names: str) -> tuple[Any, str]:
    """What a process reads of the last of the sets that it can read, and what it tells."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names], env=variables, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout), done.stderr


def test_a_set_is_fetched_once_into_the_shared_cache_and_only_the_file_it_needs(
    hub: Hub, variables: dict[str, str]
) -> None:
    hub.repositories["datasets/SetFit/sst2"] = Repository({"main": FILES})
    (source, examples), err = loaded(variables, "sst2")
    assert examples == [["a charming film", "positive"], ["dull", "negative"]]
    assert source == f"SetFit/sst2@{commit(FILES)[:7]}"
    assert "downloading sst2 from SetFit/sst2" in err
    snapshot = Path(variables["HF_HUB_CACHE"]) / "datasets--SetFit--sst2" / "snapshots" / commit(FILES)
    assert [path.name for path in snapshot.iterdir()] == ["dev.jsonl"]
    hub.requests.clear()
    (again, _), err = loaded(variables | {"LMCLI_OFFLINE": "1"}, "sst2")
    assert (again, err, hub.requests) == (source, "", [])


def test_a_large_file_of_a_set_comes_through_the_content_network(hub: Hub, variables: dict[str, str]) -> None:
    rows = b"".join(json.dumps(row | {"text": row["text"] * 12_000}).encode() + b"\n" for row in SST2 * 30)
    assert len(rows) > 5 << 20  # what the shared cache resumes
    hub.large = (".jsonl",)
    hub.repositories["datasets/SetFit/sst2"] = Repository({"main": FILES | {"dev.jsonl": rows}})
    (_, found), err = loaded(variables, "sst2")
    assert len(found) == 60
    assert "Progress" in err


def test_offline_makes_no_request_and_names_the_way_out(hub: Hub, variables: dict[str, str]) -> None:
    answer, err = loaded(variables | {"LMCLI_OFFLINE": "1"}, "sst2")
    assert answer is None
    assert (
        "NetworkError: sst2 is not on this machine and cannot be fetched offline | go online and leave out LMCLI" in err
    )
    assert not hub.requests


def test_a_repository_that_changed_or_is_gone_is_told(hub: Hub, variables: dict[str, str]) -> None:
    hub.repositories["datasets/SetFit/rte"] = Repository({"main": {"rte.zip": b""}})
    _, err = loaded(variables, "wnli", "rte")
    assert "the hub has no repository SetFit/wnli" in err
    assert "SetFit/rte holds rte no longer: no validation.jsonl" in err


# Folders

SETTINGS = replace(load({}), offline=True, sources={"offline": "--offline"})


def examples(name: str, folder: Path, settings: Settings = SETTINGS) -> tuple[Example, ...]:
    wanted = sets.find(name)
    assert wanted
    return sets.load(wanted, settings, lambda event: None, folder).examples


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path.parent


GLUE = {
    "sst2": ("SST-2/dev.tsv", 'sentence\tlabel\n"quoted\t1\nit is `` bad ""\t0\n', ('"quoted', None, "positive")),
    "cola": ("CoLA/dev.tsv", 'gj04\t1\t\tThe "sailors" rode.\ngj04\t0\t*\tRode sailors.\n',
             ('The "sailors" rode.', None, "acceptable")),
    "mrpc": ("MRPC/dev.tsv", '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tHe said "no.\tYes.\n',
             ('He said "no.', "Yes.", "not_equivalent")),
    "qqp": ("QQP/dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow?\t1\n",
            ("Why?", "How?", "duplicate")),
    "qnli": ("QNLI/dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWho?\tHe did.\tentailment\n",
             ("Who?", "He did.", "entailment")),
    "rte": ("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n",
            ("A.", "B.", "not_entailment")),
    "wnli": ("WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n", ("A.", "B.", "entailment")),
    "stsb": ("STS-B/dev.tsv", "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\tA.\tB.\t3.800\n",
             ("A.", "B.", "3.800")),
    "mnli": ("MNLI/dev_matched.tsv", "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tA.\tB.\tx\tneutral\n",
             ("A.", "B.", "neutral")),
}  # fmt: skip


@pytest.mark.parametrize("name", GLUE)
def test_glue_is_read_from_its_own_files(name: str, tmp_path: Path) -> None:
    file, text, wanted = GLUE[name]
    inside = put(tmp_path / "glue_data" / file, text)
    for folder in (inside.parent, inside):
        first = examples(name, folder)[0]
        assert (first.text, first.second, first.answer) == wanted


def test_no_row_of_glue_is_lost_to_a_quotation_mark(tmp_path: Path) -> None:
    put(tmp_path / "SST-2" / "dev.tsv", GLUE["sst2"][1])
    assert [one.text for one in examples("sst2", tmp_path)] == ['"quoted', 'it is `` bad ""']


def test_squad_and_xquad_are_read_from_their_own_files(tmp_path: Path) -> None:
    data = {"data": [{"paragraphs": [{"context": "It is 1943.", "qas": [
        {"id": "1", "question": "When?", "answers": [{"text": "1943", "answer_start": 6}]}]}]}]}  # fmt: skip
    for name, file in (("squad", "dev-v1.1.json"), ("squad2", "dev-v2.0.json"), ("xquad-zh", "xquad.zh.json")):
        put(tmp_path / file, json.dumps(data))
        (one,) = examples(name, tmp_path)
        assert (one.text, one.second, one.references) == ("It is 1943.", "When?", ("1943",))


def test_wmt_is_read_from_lines_with_several_references_and_from_sgml(tmp_path: Path) -> None:
    put(tmp_path / "wmt20" / "wmt20.en-zh.src", "One.\n\nTwo.\n")
    put(tmp_path / "wmt20" / "wmt20.en-zh.ref-A", "一。\n\n二。\n")
    put(tmp_path / "wmt20" / "wmt20.en-zh.ref-B", "一。\n\n两。\n")
    found = examples("wmt20-en-zh", tmp_path)
    assert [(one.text, one.references) for one in found] == [
        ("One.", ("一。",)),
        ("", ("",)),
        ("Two.", ("二。", "两。")),
    ]
    assert found[2].languages == ("en", "zh")
    put(tmp_path / "newstest2014-deen-src.de.sgm", '<srcset><seg id="1">Gro&amp;klein</seg>\n<seg id="2">Zwei\n</seg>')
    put(tmp_path / "newstest2014-deen-ref.en.sgm", '<refset><seg id="1"> Big</seg><seg id="2">Two</seg></refset>')
    assert [(one.text, one.answer) for one in examples("wmt14-de-en", tmp_path)] == [
        ("Gro&klein", "Big"),
        ("Zwei", "Two"),
    ]


def test_a_source_and_a_reference_of_unlike_length_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "wmt20.en-zh.src", "One.\nTwo.\n")
    put(tmp_path / "wmt20.en-zh.ref", "一。\n")
    with pytest.raises(InputError, match=r"has 1 segments, .* 2"):
        examples("wmt20-en-zh", tmp_path)


def test_a_folder_tells_which_sets_it_holds(tmp_path: Path) -> None:
    put(tmp_path / "dev.tsv", GLUE["sst2"][1])  # that might be any of GLUE
    put(tmp_path / "dev-v1.1.json", "{}")
    put(tmp_path / "sst-2" / "dev.tsv", GLUE["sst2"][1])
    assert [found.name for found in sets_in(tmp_path)] == ["sst2", "squad"]
    assert [found.name for found in sets_in(tmp_path / "sst-2")] == ["sst2"]


def test_a_folder_without_the_set_says_how_its_files_are_called(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold squad") as caught:
        examples("squad", tmp_path)
    assert "dev-v1.1.json" in str(caught.value.hint)


def test_a_set_of_no_known_repository_asks_for_a_folder() -> None:
    wanted = sets.find("WMT21-en-zh")
    assert wanted
    with pytest.raises(UsageError, match="read from a folder only"):
        sets.load(wanted, SETTINGS, lambda event: None)
    with pytest.raises(NetworkError, match="cannot be fetched offline"):
        sets.load(replace(wanted, name="x", repo_id="org/x"), SETTINGS, lambda event: None)


def test_every_set_has_a_task_a_place_and_names_for_its_labels() -> None:
    assert {"sst2", "mnli", "xquad-zh", "squad2", "cmrc2018", "wmt19-zh-en"} <= set(sets.names())
    for name in sets.names():
        wanted = sets.find(name)
        assert wanted
        assert wanted.about
        assert (wanted.repo_id is None) == (not wanted.files)
        assert bool(wanted.labels) == (wanted.task == "classify")
        assert bool(wanted.languages) == (wanted.task == "translate")
        assert wanted.layout.files or wanted.layout.pairs


def test_the_hub_s_newer_layout_of_wmt_is_taken_where_the_older_is_gone() -> None:
    wanted = sets.find("wmt19-zh-en")
    assert wanted
    assert fnmatch("wmt19_zh-en/test-00000-of-00001.parquet", wanted.files[1])
