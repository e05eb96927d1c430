"""generate --schema: JSON that validates, whatever the model; what cannot be followed is told before one is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import ScriptedEngine, invoke
from tokenizers import decoders, normalizers

from lmcli import engine
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.grammar import closed
from lmcli.engine.sampling import keep_allowed
from lmcli.errors import CheckpointError, LmcliError, UsageError
from lmcli.types import Chunk, Conversation, Done, Grammar, LoadOptions, SamplingParams, TaskResult, Usage

pytest.importorskip("llguidance", reason="llguidance is not installed: pip install 'lmcli[schema]'")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install 'lmcli[dev]'")

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "job": {"enum": ["teacher", "farmer", "cook"]},
    },
    "required": ["name", "age", "job"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Any] = {
    "an object with an enum": PERSON,
    "bounds of integers": {"type": "integer", "exclusiveMinimum": -17, "maximum": 4096},
    "a multiple": {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 700},
    "an array's length": {
        "type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 5,
    },
    "a tuple": {
        "type": "array", "prefixItems": [{"const": "x"}, {"type": "null"}], "items": False, "minItems": 2,
    },
    "a pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
    "any text of at most eight characters": {"type": "string", "maxLength": 8},
    "nested objects": {
        "type": "object",
        "properties": {"people": {"type": "array", "items": {"$ref": "#/$defs/person"}, "minItems": 2, "maxItems": 2}},
        "required": ["people"],
        "additionalProperties": False,
        "$defs": {"person": PERSON},
    },
    "Chinese keys and values": {
        "type": "object",
        "properties": {
            "心情": {"enum": ["好", "不好", "一般"]},
            "理由": {"type": "string", "minLength": 2, "maxLength": 6},
        },
        "required": ["心情", "理由"],
        "additionalProperties": False,
    },
    "one of several types": {
        "anyOf": [{"type": "null"}, {"type": "number", "minimum": 0, "maximum": 1}, {"enum": ["👍", "\"quoted\"\n"]}],
    },
    "an optional key": {
        "type": "object", "properties": {"a": {"type": "boolean"}, "b": {"const": 1}}, "additionalProperties": False,
    },
}  # fmt: skip
Answering = Callable[..., TaskResult]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: the worst model there is."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny.save(folder, tiny.config("llama"))
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> GenerationEngine:
    return load(folder)


def load(folder: Path, family: str = "llama") -> GenerationEngine:
    opened = engine.load(tiny.checkpoint(folder, family), LoadOptions("cpu", "float32"))
    assert isinstance(opened, GenerationEngine)
    return opened


def following(schema: Any, **params: Any) -> SamplingParams:
    return SamplingParams(grammar=Grammar("json", json.dumps(schema)), **params)


def answer(loaded: GenerationEngine, params: SamplingParams, prompt: str = "Say it.") -> TaskResult:
    return TaskResult.fold(loaded.stream(Conversation.ask(prompt), params))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32), temperature=st.sampled_from([0.0, 0.7, 2.0]), top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([1.0, 0.5]), repetition_penalty=st.sampled_from([1.0, 1.3]),
)  # fmt: skip
@pytest.mark.usefixtures("one_thread")
def test_every_answer_of_the_worst_model_validates(loaded: GenerationEngine, schema: Any, **params: Any) -> None:
    result = answer(loaded, following(schema, **params))
    assert result.finish_reason == "stop"
    jsonschema.validate(json.loads(result.text), schema)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_guesses_change_nothing_under_a_schema(
    loaded: GenerationEngine, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    params = following(SCHEMAS["nested objects"], temperature=temperature, seed=5)
    guessed = answer(loaded, params)
    monkeypatch.setattr(loaded.decoder, "verifies", False)
    alone = answer(loaded, params)
    assert guessed.text == alone.text
    assert alone.usage.guessed_tokens == 0 < guessed.usage.accepted_tokens
    assert guessed.usage.completion_tokens == alone.usage.completion_tokens


def test_what_a_schema_leaves_no_choice_about_takes_one_pass_for_several_tokens(
    loaded: GenerationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, forward = [], loaded.decoder.forward
    monkeypatch.setattr(loaded.decoder, "forward", lambda *given, **last: passes.append(1) or forward(*given, **last))
    result = answer(loaded, following({"const": "a sentence of some forty letters in all"}))
    assert json.loads(result.text) == "a sentence of some forty letters in all"
    assert result.usage.completion_tokens == 41
    assert len(passes) <= 7


def test_a_draft_changes_nothing_under_a_schema(folder: Path, loaded: GenerationEngine) -> None:
    options = LoadOptions("cpu", "float32", draft=tiny.checkpoint(folder))
    drafted = engine.load(tiny.checkpoint(folder), options)
    params = following(PERSON, temperature=1.0, seed=2)
    result = answer(drafted, params)  # type: ignore[arg-type]
    assert result.text == answer(loaded, params).text
    assert result.usage.accepted_tokens > 0


def test_a_tokenizer_of_sentencepiece_with_bytes_for_what_it_lacks_follows_a_schema(tmp_path: Path) -> None:
    """As Llama 2 and Gemma have it: ▁ for a space, <0xE5> for a byte."""
    letters = ['{"', '":', '","', "▁", "▁a", "▁the", *"abcdefghijklmnopqrstuvwxyz{}[]:,."]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE({n: i for i, n in enumerate(names)}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.add_special_tokens(names[:3])
    tiny.save(tmp_path, tiny.config("llama", vocab_size=len(names), eos_token_id=2, pad_token_id=0))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load(tmp_path)
    for name in ("Chinese keys and values", "an object with an enum", "any text of at most eight characters"):
        for seed in range(4):
            result = answer(loaded, following(SCHEMAS[name], temperature=1.0, seed=seed))
            jsonschema.validate(json.loads(result.text), SCHEMAS[name])


def test_answers_side_by_side_each_follow_their_own_schema(loaded: GenerationEngine) -> None:
    schemas = [*list(SCHEMAS.values())[::3], None]
    params = [following(s, temperature=1.0, seed=3) if s else SamplingParams(max_tokens=9) for s in schemas]
    texts = [""] * len(schemas)
    prompts = [Conversation.ask(f"Number {i}?") for i in range(len(schemas))]
    for index, event in loaded.stream_many(prompts, params):
        texts[index] += event.text if isinstance(event, Chunk) else ""
    for text, schema in zip(texts[:-1], schemas, strict=False):
        jsonschema.validate(json.loads(text), schema)
    assert texts[0] == answer(loaded, params[0], "Number 0?").text


def test_an_architecture_of_transformers_follows_a_schema_too(tmp_path: Path) -> None:
    dimensions = {"vocab_size": tiny.VOCAB_SIZE, "n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 2}
    import transformers

    tiny.save(tmp_path, transformers.AutoConfig.for_model("gpt2", **dimensions))
    result = answer(load(tmp_path, "gpt2"), following(PERSON))
    jsonschema.validate(json.loads(result.text), PERSON)


def test_a_pattern_and_a_grammar_bind_an_answer_too(loaded: GenerationEngine) -> None:
    date = answer(loaded, SamplingParams(grammar=Grammar("regex", "[0-9]{4}-[0-9]{2}")))
    assert re.fullmatch("[0-9]{4}-[0-9]{2}", date.text)
    moves = answer(loaded, SamplingParams(grammar=Grammar("lark", 'start: move ("," move)\nmove: /[a-h][1-8]/')))
    assert re.fullmatch("[a-h][1-8],[a-h][1-8]", moves.text)


def test_json_is_compact_unless_the_schema_asks_for_space(loaded: GenerationEngine) -> None:
    schema = {"const": {"a": 1, "b": [True, None]}}
    assert answer(loaded, following(schema)).text == '{"a":1,"b":[true,null]}'
    spaced = {"x-guidance": {"key_separator": ": ", "item_separator": ", "}}
    assert answer(loaded, following(schema | spaced)).text == '{"a": 1, "b": [true, null]}'


def test_a_cut_answer_says_so_and_an_end_that_nothing_may_follow_needs_no_token(loaded: GenerationEngine) -> None:
    whole = answer(loaded, following({"const": True}))
    assert (whole.text, whole.finish_reason, whole.usage.completion_tokens) == ("true", "stop", 4)
    cut = answer(loaded, following({"const": True}, max_tokens=3))
    assert (cut.text, cut.finish_reason) == ("tru", "length")


@pytest.mark.parametrize("opens", ["<think>\n", "{% if enable_thinking is not defined %}<think>\n{% endif %}"])
def test_nothing_is_thought_under_a_schema(tmp_path: Path, opens: str) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    (tmp_path / "chat_template.jinja").write_text(tiny.CHAT_TEMPLATE + opens)
    loaded = load(tmp_path)
    result = answer(loaded, following(PERSON))
    jsonschema.validate(json.loads(result.text), PERSON)
    said = loaded.tokenizer.decode(loaded.decoder.tokens)
    assert said.count("<think>") == said.count("</think>")


def test_a_mask_may_be_shorter_or_longer_than_the_logits() -> None:
    kept = keep_allowed(torch.zeros(12), bytes([0b10000001])).isfinite().nonzero()[:, 0].tolist()
    assert kept == [0, 7]
    assert keep_allowed(torch.zeros(3), bytes([0b11111110, 255])).isfinite().tolist() == [False, True, True]


def test_a_tokenizer_in_python_cannot_follow_a_schema_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(folder)
    monkeypatch.setattr(type(loaded.tokenizer), "backend", None)
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        loaded.stream("Hi", following(PERSON))


WRONG = {
    '{"type": "strin"}': "Invalid type: strin",
    '{"properties": {"a": {"items": {"not": {}}}}}': "at #/properties/a/items: .*not",
    '{"prefixItems": [{}, {"pattern": "(?=a)b"}]}': "at #/prefixItems/1: .*look-around",
    '{"$defs": {"x": {"uniqueItems": true}}, "items": {"$ref": "#/$defs/x"}}': r"at #/\$defs/x: .*uniqueItems",
    '{"$ref": "http://example.org/schema"}': "not fetch",
    '{"minimum": 3, "maximum": 1, "type": "integer"}': "greater",
    '{"type": ': "not JSON: .*line 1 column 10",
    '{"enum": [1e999]}': "cannot be followed",
    '{"enum": ["\\ud800"]}': "hex escape",
    "[" * 100_000: "not JSON",
}


@pytest.mark.parametrize(("schema", "said"), WRONG.items())
def test_a_schema_that_cannot_be_followed_is_one_line_with_its_place(schema: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(schema)
    result = invoke("generate", "--schema", str(file), "Hi", engine=(scripted := ScriptedEngine()))
    assert result.code == 2
    assert re.match(f"lmcli: {re.escape(str(file))}: .*{said}.*\n  hint: .*\n$", result.stderr)
    assert not scripted.prompts


@pytest.mark.parametrize("schema", ["[]", "true", '"x"'])
def test_a_schema_is_an_object(schema: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(schema)
    assert "not an object" in invoke("generate", "--schema", str(file), "Hi", engine=ScriptedEngine()).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--schema", "no-such.json"], 5, "no-such.json does not exist"),
        (["--schema", "{}", "--regex", "a"], 2, "--schema and --regex do not go together"),
        (["--schema", "{}", "--stop", "x"], 2, "--stop would cut"),
        (["--regex", "(a"], 2, "unclosed group"),
    ],
)
def test_what_does_not_go_is_refused_before_the_model_runs(arguments: list[str], code: int, said: str) -> None:
    result = invoke("generate", *arguments, "Hi", engine=(scripted := ScriptedEngine()))
    assert (result.code, scripted.prompts) == (code, [])
    assert said in result.stderr


def test_a_schema_reaches_the_engine_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "null"}')
    scripted = ScriptedEngine(["null"])
    for schema in (str(tmp_path / "s.json"), '{"type": "null"}'):
        assert invoke("generate", "--schema", schema, "Hi", engine=scripted).stdout == "null\n"
    assert {params.grammar for params in scripted.params} == {Grammar("json", '{"type": "null"}')}


class Cut(ScriptedEngine):
    def stream(self, prompt: Any, params: SamplingParams) -> Any:
        yield Chunk('{"a":')
        yield Done("length", Usage(self.count(prompt), 0, 3))


@pytest.mark.parametrize(("context", "way_out"), [(2048, "--max-tokens allows more"), (4, "context of 4 tokens")])
def test_an_answer_that_is_cut_is_shown_and_the_command_fails(context: int, way_out: str) -> None:
    result = invoke("generate", "--schema", "{}", "Hi", engine=Cut(context_length=context))
    assert (result.code, result.stdout) == (1, '{"a":\n')
    assert "cut after 3 tokens" in result.stderr
    assert way_out in result.stderr
    record = json.loads(invoke("generate", "--schema", "{}", "Hi", "--json", engine=Cut()).stdout)
    assert record["results"][0]["text"] == '{"a":'
    assert record["error"]["exit_code"] == 1


def test_without_llguidance_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    result = invoke("generate", "--schema", "{}", "Hi", engine=ScriptedEngine())
    assert result.code == 2
    assert "pip install 'lmcli[schema]'" in result.stderr


def test_an_encoder_decoder_follows_no_schema() -> None:
    from lmcli.engine.rewriting import RewritingEngine

    rewriting = RewritingEngine.__new__(RewritingEngine)
    rewriting.checkpoint = replace(tiny.checkpoint(Path("marian")), kind="seq2seq")
    with pytest.raises(UsageError, match="only decoders can follow a schema"):
        rewriting.rewrite(["Hi"], following(PERSON))


def test_a_grammar_that_outgrows_its_limits_is_told_as_such(loaded: GenerationEngine) -> None:
    from lmcli.engine.grammar import Grammars

    constraint = Grammars(loaded.tokenizer).begin(Grammar("json", "{}"))
    with pytest.raises(LmcliError, match="cannot be followed any further"):
        constraint.take(0)


def test_a_schema_is_checked_without_torch() -> None:
    program = (
        "import sys; from lmcli import engine; from lmcli.types import Grammar\n"
        "engine.check_grammar(Grammar('json', '{}')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("schema", "is_closed"),
    [
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, True),
        ({"properties": {"a": {}}, "additionalProperties": True}, False),
        ({"properties": {"a": {}}, "required": ["a", "b"]}, False),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, False),
        ({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}}]}, False),
    ],
    ids=str,
)
def test_an_object_has_the_keys_its_schema_names_and_others_only_where_it_speaks_of_them(
    schema: dict[str, Any], is_closed: bool
) -> None:
    assert ('"additionalProperties": false' in json.dumps(closed(schema))) == is_closed


def test_a_list_of_objects_ends_with_the_keys_it_names(tmp_path: Path) -> None:
    inner = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}
    schema = {"type": "array", "items": inner, "minItems": 1, "maxItems": 2}
    tiny.save(tmp_path, tiny.config("llama"))
    loaded = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    params = SamplingParams(max_tokens=60, temperature=1.5, grammar=Grammar("json", json.dumps(schema)))
    for seed in range(5):
        text = TaskResult.fold(loaded.stream("x", replace(params, seed=seed))).text  # type: ignore[union-attr]
        assert all(entry.keys() == {"n"} for entry in json.loads(text))
