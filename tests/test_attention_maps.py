"""lmcli explain attention: the weights are transformers' own, and the pictures hold them and nothing else."""

from __future__ import annotations

import base64
import json
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import tiny
import tiny_translators as translators
import torch
import transformers
from scripted import Result, ScriptedEngine, invoke

from lmcli import engine
from lmcli.checkpoints.checkpoint import read
from lmcli.errors import CheckpointError, InputTooLong, UsageError
from lmcli.explanations import AttentionMap, AttentionMaps, AttentionWish
from lmcli.render.attention import View, draw
from lmcli.types import LoadOptions

SENTENCE = "The old cat sat behind the church."
pytestmark = pytest.mark.usefixtures("one_thread")


def attend(folder: Path, text: str, **wish: Any) -> AttentionMaps:
    found = read(folder, folder.name)
    return engine.read_attention(found, text, AttentionWish(**wish), LoadOptions("cpu", "float32"), lambda event: None)


def assert_same(found: AttentionMap, layers: Any) -> None:
    """The map is that of transformers' layers (1, heads, rows, columns)."""
    expected = torch.stack([layer[0] for layer in layers])
    assert (found.layers, found.heads, len(found.rows), len(found.columns)) == tuple(expected.shape)
    assert torch.allclose(torch.tensor(list(found.weights)).view(expected.shape), expected, atol=1e-5)
    for layer in range(found.layers):
        assert torch.allclose(torch.tensor(found.mean(layer, 1)), expected[layer, 1], atol=1e-5)
        assert torch.allclose(torch.tensor(found.mean(layer)), expected[layer].mean(0), atol=1e-5)
    assert torch.allclose(torch.tensor(found.mean()).sum(-1), torch.ones(len(found.rows)), atol=1e-4)


@torch.no_grad()
def by_transformers(model_class: Any, folder: Path, **inputs: Any) -> Any:
    model = model_class.from_pretrained(folder, attn_implementation="eager").eval()
    return model(**{name: torch.tensor([ids]) for name, ids in inputs.items()}, output_attentions=True)


def test_a_decoder_attends_as_in_transformers(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    maps = attend(tmp_path, "a b 狗")
    (found,) = maps.maps
    tokens = tiny.byte_tokenizer().encode("a b 狗").ids
    assert (found.part, maps.written) == ("decoder", None)
    assert found.rows == found.columns == ("a", " ", "b", " ", "\\xe7", "\\x8b", "\\x97")
    assert_same(found, by_transformers(transformers.AutoModelForCausalLM, tmp_path, input_ids=tokens).attentions)


@pytest.mark.parametrize("builder", [translators.bert, translators.roberta], ids=["bert", "roberta"])
def test_an_encoder_attends_as_in_transformers(builder: Callable[..., Any], tmp_path: Path) -> None:
    builder(tmp_path)
    (found,) = attend(tmp_path, "the cat, </s> [SEP]").maps
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert found.part == "encoder"
    # What the text quotes is text: there is one mark at its end.
    assert [found.rows.count(str(tokenizer.sep_token)), found.rows[-1]] == [1, str(tokenizer.sep_token)]
    quoted = "the cat, < /s> [SEP]" if builder is translators.roberta else "the cat, </s> [ SEP]"
    tokens = tokenizer(quoted, truncation=False, padding=False)["input_ids"]
    auto = transformers.AutoModelForSequenceClassification
    assert_same(found, by_transformers(auto, tmp_path, input_ids=tokens).attentions)


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    translators.marian(folder, translators.train_pieces(folder), "en", "de", eos_bias=12.0)
    return folder


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_translation_looks_at_its_source_as_in_transformers(marian: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(marian)
    model = transformers.MarianMTModel.from_pretrained(marian, attn_implementation="eager").eval()
    source = tokenizer("Where is the cat?")["input_ids"]
    start, end = model.config.decoder_start_token_id, model.config.eos_token_id
    for wish in ({}, {"written": "Der Hund"}):
        maps = attend(marian, "Where is the cat?", source="en", target="de", **wish)
        cross, encoder, decoder = maps.maps
        assert [each.part for each in maps.maps] == ["cross", "encoder", "decoder"]
        said = tokenizer(text_target="Der Hund", add_special_tokens=False)["input_ids"] if wish else None
        if said is None:
            with torch.no_grad():
                (row,) = model.generate(torch.tensor([source]), max_new_tokens=60).tolist()
            said = row[1 : row.index(end)]
        output = by_transformers(transformers.MarianMTModel, marian, input_ids=source, decoder_input_ids=[start, *said])
        assert_same(cross, output.cross_attentions)
        assert_same(encoder, output.encoder_attentions)
        assert_same(decoder, output.decoder_attentions)
        assert maps.written == tokenizer.decode(said, skip_special_tokens=True).strip()
        # A row is the token that was written while the decoder looked there.
        assert cross.rows[-1] == "</s>"
        assert "".join(cross.rows[:-1]).strip() == maps.written
        assert "".join(cross.columns[:-1]).strip() == "Where is the cat?"


def test_a_checkpoint_of_many_languages_must_be_told_one(tmp_path: Path) -> None:
    translators.m2m100(tmp_path, translators.train_pieces(tmp_path, "bpe"))
    with pytest.raises(UsageError, match="which language"):
        attend(tmp_path, "Good morning!")
    cross = attend(tmp_path, "Good morning!", source="en", target="de", written="Hund").maps[0]
    assert cross.rows[0] == "__de__"
    assert cross.columns[0] == "__en__"


def test_weights_that_are_stored_in_8_bits_are_seen_as_well(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    translators.bert(tmp_path / "plain")
    engine.quantize(read(tmp_path / "plain", "plain"), tmp_path / "int8", 8, lambda event: None)
    plain, stored = (attend(tmp_path / name, SENTENCE).maps[0] for name in ("plain", "int8"))
    assert plain.rows == stored.rows
    difference = max(abs(a - b) for a, b in zip(plain.weights, stored.weights, strict=True))
    assert 0 < difference < 0.1


def test_what_cannot_be_drawn_is_refused_with_the_way_out(tmp_path: Path, marian: Path) -> None:
    (tmp_path / "llama").mkdir()
    (tmp_path / "mamba").mkdir()
    tiny.save(tmp_path / "llama", tiny.config("llama"))
    tiny.save(tmp_path / "mamba", tiny.config("mamba", state_size=8))
    attend(tmp_path / "llama", "x" * 64)
    with pytest.raises(InputTooLong, match="65 tokens"):
        attend(tmp_path / "llama", "x" * 65)
    with pytest.raises(InputTooLong, match="written for it"):
        attend(marian, "cat", source="en", target="de", written="Hund " * 40)
    with pytest.raises(CheckpointError, match="no attention"):
        attend(tmp_path / "mamba", "x")


# --- pictures -------------------------------------------------------------------------------------------------------

NASTY = "</script><script>alert(1)</script>"
# Two layers, two heads, two rows, three columns.
WEIGHTS = [1, 0, 0, 0.5, 0.5, 0, 0, 1, 0, 0.25, 0.25, 0.5, 0, 0, 1, 1, 0, 0, 0.2, 0.2, 0.6, 0.1, 0.8, 0.1]
MAPS = AttentionMaps(
    "acme & co", f"{NASTY}\x1b[31m",
    (
        AttentionMap("cross", (" ja\x1b", NASTY), ("<b>", "猫", "\n"), 2, 2, array("f", WEIGHTS)),
        AttentionMap("encoder", ("%%TEXT%%",), ("a",), 1, 1, array("f", [1])),
    ),
    "ja %%DATA%%",
)  # fmt: skip


def test_a_page_holds_every_weight_and_no_markup_of_the_text() -> None:
    page = draw(MAPS, ".html", View("cross", 1, None))
    assert page.count("<script") == 2
    assert NASTY not in page
    assert "\x1b" not in page
    assert not re.search(r"""(src|href)\s*=|https?:|@import|url\(""", page), "it asks the network for something"
    assert "ja %%DATA%%" in page
    assert "Attention of acme &amp; co" in page
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(text)
    assert data["view"] == {"part": "cross", "layer": 1, "head": None}
    first, second = data["maps"]
    assert first["rows"] == ["·ja", NASTY]
    assert first["columns"] == ["<b>", "猫", "⏎"]
    assert second["rows"] == ["%%TEXT%%"]
    shades = base64.b64decode(first["weights"])
    assert [shade / 255 for shade in shades] == pytest.approx(WEIGHTS, abs=1 / 500)


def test_an_svg_is_a_picture_of_one_map() -> None:
    svg = draw(MAPS, ".svg", View("cross", 1, 1))
    root = ElementTree.fromstring(svg)  # It is well formed.
    space = {"s": "http://www.w3.org/2000/svg"}
    texts = [element.text for element in root.iterfind("s:text", space)]
    assert texts[0] == "Attention of the decoder, at the encoder, layer 2 of 2, head 2 of 2"
    assert texts[2:] == ["·ja", NASTY, "<b>", "猫", "⏎"]
    cells = [element for element in root.iterfind("s:rect", space) if element.get("class") == "weight"]
    shades = [float(cell.get("fill-opacity", "")) for cell in cells]
    assert shades == pytest.approx([0.25, 0.25, 0.75, 0.125, 1, 0.125], abs=0.001)
    places = [(float(cell.get("x", "")), float(cell.get("y", ""))) for cell in cells]
    assert places == sorted(places, key=lambda place: (place[1], place[0]))
    assert "looks most at 猫 (80%)" in str(root.findtext("s:desc", namespaces=space))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert all(x + 20 <= width and y + 20 <= height for x, y in places)


def test_the_numbers_are_those_of_each_head() -> None:
    data = json.loads(draw(MAPS, ".json", View("cross", 0, 0)))
    flat = [weight for layer in data["maps"][0]["weights"] for head in layer for row in head for weight in row]
    assert flat == pytest.approx(WEIGHTS, abs=1e-4)
    assert data["text"] == MAPS.text
    assert data["maps"][0]["rows"] == list(MAPS.maps[0].rows)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, AttentionWish]]:
    """What was to be looked at; it is always MAPS that are seen."""
    asked: list[tuple[str, AttentionWish]] = []

    def attention(checkpoint: Any, text: str, wish: AttentionWish, *_: Any) -> AttentionMaps:
        asked.append((text, wish))
        return MAPS

    monkeypatch.setattr(engine, "read_attention", attention)
    return asked


def explain(*arguments: str, stdin: bytes = b"") -> Result:
    return invoke("explain", "attention", *arguments, engine=ScriptedEngine(), stdin=stdin)


def test_the_file_says_by_its_name_what_it_is_to_be(tmp_path: Path, drawn: list[Any]) -> None:
    for form, begins in ((".html", "<!doctype html>"), (".svg", "<svg"), (".json", '{"checkpoint"')):
        file = tmp_path / f"map{form}"
        result = explain("-o", str(file), "Good day")
        assert (result.code, result.stderr) == (0, "")
        assert file.read_text(encoding="utf-8").startswith(begins)
    # The strongest three of the last layer, the mean of its heads.
    assert result.stdout.splitlines()[0] == "·ja\t⏎ 80%, <b> 10%, 猫 10%"
    wrong = explain("-o", str(tmp_path / "map.png"), "Good day")
    assert wrong.code == 2
    assert ".svg" in wrong.stderr
    nowhere = explain("-o", str(tmp_path / "no" / "map.svg"), "Good day")
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.stderr
    assert [text for text, _ in drawn] == ["Good day"] * 4


def test_json_tells_what_was_drawn_and_where_each_token_looks(tmp_path: Path, drawn: list[Any]) -> None:
    result = explain(
        "--json", "-o", str(tmp_path / "m.svg"), "--layer", "1", "--head", "2", "--to", "German", stdin=b"Hi\n"
    )
    record = json.loads(result.stdout)
    assert record["view"] == "Attention of the decoder, at the encoder, layer 1 of 2, head 2 of 2"
    assert record["looks"][1]["at"][0] == {"token": "\n", "weight": pytest.approx(0.5)}
    assert [each["part"] for each in record["maps"]] == ["cross", "encoder"]
    assert drawn == [("Hi", AttentionWish(target="de"))]


def test_a_layer_that_is_not_there_is_told(tmp_path: Path, drawn: list[Any]) -> None:
    result = explain("-o", str(tmp_path / "m.svg"), "--layer", "3", "Hi")
    assert result.code == 2
    assert "--layer takes 1 to 2" in result.stderr
    assert not (tmp_path / "m.svg").exists()
