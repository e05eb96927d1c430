"""lmcli explain tokens: how probable each token was and what its rivals were, against transformers' logits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli import engine
from lmcli.engine.choices import windows
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.spelling import Spelling, byte_characters
from lmcli.engine.torch_engine import TorchDecoder
from lmcli.engine.transformers_engine import TransformersDecoder
from lmcli.explanations import Choice
from lmcli.types import Conversation, Done, LoadOptions, SamplingParams

FAMILIES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "llama": (TorchDecoder, {}),
    "gpt2": (TransformersDecoder, {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "mamba": (TransformersDecoder, {"state_size": 8}),
}
pytestmark = pytest.mark.usefixtures("one_thread")
PROMPT, TEXT = "The quick brown fox", " jumps over the lazy 狗 and sleeps."


@pytest.fixture(scope="module", params=FAMILIES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerationEngine, Any]:
    """Our engine for a tiny checkpoint, and transformers' model of it."""
    kind, fields = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny.save(folder, tiny.config(request.param, **fields, use_cache=True))
    loaded = engine.load(tiny.checkpoint(folder, tiny.read_model_type(folder)), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, GenerationEngine)
    assert isinstance(loaded.decoder, kind)
    return loaded, model


def explained(ours: GenerationEngine, prompt: Any, given: str | None = None, **params: Any) -> list[Choice]:
    *choices, done = ours.explain(prompt, SamplingParams(**({"max_tokens": 12} | params)), 3, given)
    assert isinstance(done, Done)
    assert choices
    return choices  # type: ignore[return-value]


def assert_true(choice: Choice, logits: torch.Tensor) -> None:
    """What is said of a token is what transformers' logits (V,) in its place say."""
    chances = logits.double().softmax(-1)
    assert choice.probability == pytest.approx(float(chances[choice.id]), rel=1e-3, abs=1e-7)
    assert choice.surprise == pytest.approx(-math.log2(choice.probability))
    assert choice.rank == 1 + int((chances > chances[choice.id] * (1 + 1e-6)).sum())
    assert choice.entropy == pytest.approx(float(-(chances * chances.log2()).sum()), rel=1e-3)
    best = [int(token) for token in chances.argsort(descending=True) if token != choice.id][:3]
    assert [rival.id for rival in choice.rivals] == best
    assert [rival.probability for rival in choice.rivals] == pytest.approx(chances[best].tolist(), rel=1e-3)


def in_its_places(model: Any, tokens: list[int], first: int) -> torch.Tensor:
    """transformers' logits of the places from `first` on."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([tokens])).logits[0, first - 1 : -1]
    return logits


def test_each_token_of_an_answer_is_as_probable_as_transformers_says(both: tuple[GenerationEngine, Any]) -> None:
    ours, model = both
    for params in ({}, {"temperature": 1.5, "top_k": 9, "seed": 5}):
        choices = explained(ours, PROMPT, **params)
        tokens = ours.tokenizer.encode(PROMPT)
        places = in_its_places(model, [*tokens, *(choice.id for choice in choices)], len(tokens))
        for choice, logits in zip(choices, places, strict=True):
            assert_true(choice, logits)
        # The probabilities are the model's own, whatever was drawn from.
        assert all(choice.rank == 1 for choice in choices) == ("temperature" not in params)


def test_a_given_text_is_weighed_behind_its_prompt(both: tuple[GenerationEngine, Any]) -> None:
    ours, model = both
    tokens, given = ours.tokenizer.encode(PROMPT), ours.tokenizer.encode_continuation(TEXT)
    places = in_its_places(model, [*tokens, *given], len(tokens))
    for _ in range(2):  # What the cache held before changes nothing.
        choices = explained(ours, PROMPT, TEXT)
        assert [choice.id for choice in choices] == given
        assert "".join(choice.shown for choice in choices) == TEXT
        for choice, logits in zip(choices, places, strict=True):
            assert_true(choice, logits)
    assert math.log(2) * -sum(choice.surprise for choice in choices) == pytest.approx(ours.score(PROMPT, [TEXT])[0])


def test_an_answer_is_the_one_that_is_generated(both: tuple[GenerationEngine, Any]) -> None:
    ours, _ = both
    asked = Conversation.ask("Who is there?")
    *chunks, done = ours.stream(asked, SamplingParams(max_tokens=12))
    choices = explained(ours, asked)
    assert "".join(choice.shown for choice in choices) == "".join(getattr(chunk, "text", "") for chunk in chunks)
    assert len(choices) == done.usage.completion_tokens  # type: ignore[union-attr]


def test_a_text_longer_than_the_context_is_read_in_windows(tmp_path: Path) -> None:
    model = tiny.save(tmp_path, tiny.config("llama"))
    ours = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32", context=64))
    assert isinstance(ours, GenerationEngine)
    text = "".join(chr(97 + i * i % 26) for i in range(150))
    choices = explained(ours, PROMPT, text)
    prompt, given = ours.tokenizer.encode(PROMPT), ours.tokenizer.encode_continuation(text)
    assert [choice.id for choice in choices] == given
    place = 0
    for window in windows(prompt, given, 64):
        assert len(window.context) + len(window.tokens) <= 64
        assert len(window.context) >= (32 if place else len(prompt))
        logits = in_its_places(model, [*window.context, *window.tokens], len(window.context))
        for choice, row in zip(choices[place : place + len(window.tokens)], logits, strict=True):
            assert_true(choice, row)
        place += len(window.tokens)
    assert place == len(given)


def test_half_a_character_is_spelled_by_its_bytes_and_shown_once_it_is_whole(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    ours = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    assert isinstance(ours, GenerationEngine)
    choices = explained(ours, "a", " 狗\n")
    assert [choice.text for choice in choices] == [" ", "\\xe7", "\\x8b", "\\x97", "\n"]
    assert [choice.shown for choice in choices] == [" ", "", "", "狗", "\n"]
    assert Spelling(ours.tokenizer)(258) == "<|im_end|>"
    assert sorted(byte_characters().values()) == list(range(256))


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_token_is_a_line_with_probability_rank_entropy_and_rivals() -> None:
    result = invoke("explain", "tokens", "Say it", "--rivals", "2", engine=ScriptedEngine(["so it\x1b goes"]))
    assert result.code == 0
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ['"so"', "100%", "1", "1.50", '"so0" 12.5%, "so1" 6.25%'],
        ['" it\\u001b"', "50%", "2", "1.50", '" it\\u001b0" 6.25%, " it\\u001b1" 3.12%'],
        ['" goes"', "25%", "3", "1.50", '" goes0" 3.12%, " goes1" 1.56%'],
    ]
    assert result.stderr == ""


def test_json_tells_of_every_token_and_of_all_together() -> None:
    result = invoke("explain", "tokens", "--json", "Say it", engine=ScriptedEngine(["so it goes"]))
    record = json.loads(result.stdout)
    assert (record["task"], record["text"], record["finish_reason"]) == ("explain", "so it goes", "stop")
    assert [token["rank"] for token in record["tokens"]] == [1, 2, 3]
    assert record["tokens"][1]["rivals"][0] == {"id": 100, "text": " it0", "probability": 0.0625}
    assert record["bits_per_token"] == pytest.approx(1.0)
    assert record["perplexity"] == pytest.approx(2.0)


def test_a_terminal_shows_the_answer_by_surprise_and_then_a_table() -> None:
    text = "a b c d e f g h"
    result = invoke("explain", "tokens", "Say it", engine=ScriptedEngine([text]), terminal=True)
    answer, _, table = result.stdout.partition("\n")
    yellow, red, worst = "\x1b[33m", "\x1b[31m", "\x1b[1;37;41m"
    painted = [("a", ""), *((c, yellow) for c in "bcd"), *((c, red) for c in "efg"), ("h", worst)]
    assert answer == " ".join(f"{code}{c}\x1b[0m" if code else c for c, code in painted)
    assert "PROBABILITY" in table
    assert "perplexity" in result.stderr
    plain = invoke(
        "explain", "tokens", "Say it", engine=ScriptedEngine([text]), terminal=True, variables={"NO_COLOR": "1"}
    )
    assert plain.stdout.startswith(f"{text}\n")


def test_of_a_long_text_a_terminal_lists_the_least_foreseen() -> None:
    text = " ".join(f"w{i}" for i in range(90))
    result = invoke("explain", "tokens", "Say", engine=ScriptedEngine([text]), terminal=True)
    table = result.stdout.split("RIVALS")[1]
    assert [f'" w{i}"' in table for i in (69, 70, 89)] == [False, True, True]
    assert "90 tokens" in result.stderr
    assert "20 least foreseen" in result.stderr


def test_a_file_is_read_and_nothing_written(tmp_path: Path) -> None:
    file = tmp_path / "essay.txt"
    file.write_text("it was night\n", encoding="utf-8")
    ours = ScriptedEngine(["never said"])
    record = json.loads(invoke("explain", "tokens", "--json", "--text", str(file), engine=ours).stdout)
    assert (record["text"].strip(), record["file"]) == ("it was night", str(file))
    assert ours.prompts == []
    piped = invoke("explain", "tokens", "Once", "--text", "-", engine=ours, stdin=b"upon a time")
    assert [line.split("\t")[0] for line in piped.stdout.splitlines()] == ['"upon"', '" a"', '" time"']


def test_only_a_language_model_has_tokens_to_explain() -> None:
    result = invoke("explain", "tokens", "hm", engine=ScriptedEngine(checkpoint=checkpoint("classifier")))
    assert result.code == 3
    assert "explain tokens" in result.stderr
