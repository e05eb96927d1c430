"""Drafting: the same tokens as without a draft, good or bad, and a clear word where there can be none."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import ScriptedEngine, folder_checkpoint, invoke

from lmcli import engine
from lmcli.cli import run
from lmcli.engine.drafting import Draft
from lmcli.engine.generation import GenerationEngine, shared_prefix
from lmcli.engine.speculation import MOST, Chain, DraftPace, Lookup
from lmcli.environment import Environment
from lmcli.errors import UsageError
from lmcli.render.plain import statistics
from lmcli.types import Checkpoint, Conversation, Event, LoadOptions, Notice, SamplingParams, TaskResult, Usage

pytestmark = pytest.mark.usefixtures("one_thread")
UNLIMITED = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PROMPT = "the cat sat on the mat and the dog"
CHEAP = 0.05  # of a pass
DRAFTS = ("same", "other", "qwen2", "longrope")


def saved(folder: Path, family: str = "llama", seed: int = 0, **overrides: Any) -> Checkpoint:
    tiny.save(folder, tiny.config(family, **overrides), seed)
    return tiny.checkpoint(folder, family)


def load(main: Checkpoint, draft: Checkpoint, cost: float = CHEAP) -> GenerationEngine:
    loaded = engine.load(main, LoadOptions("cpu", "float32", draft=draft))
    assert isinstance(loaded, GenerationEngine)
    assert loaded.draft is not None
    loaded.draft.pace = DraftPace(cost)
    return loaded


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return saved(tmp_path_factory.mktemp("main") / "main")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return saved(tmp_path_factory.mktemp("other") / "other", seed=1)


@pytest.fixture(scope="module")
def engines(
    main: Checkpoint, other: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, GenerationEngine]:
    """The same decoder with a draft that is always right, one that seldom is, one of another family, and one whose
    cache cannot be taken back to where its rope turns otherwise."""
    folder = tmp_path_factory.mktemp("drafts")
    factors = {"rope_type": "longrope", "short_factor": [1.1] * 8, "long_factor": [3.0] * 8}
    phi3 = saved(folder / "phi3", "phi3", rope_parameters=factors, original_max_position_embeddings=40)
    drafts = {"same": main, "other": other, "qwen2": saved(folder / "qwen2", "qwen2"), "longrope": phi3}
    return {name: load(main, draft) for name, draft in drafts.items()}


@pytest.fixture
def ours(engines: dict[str, GenerationEngine], monkeypatch: pytest.MonkeyPatch) -> GenerationEngine:
    """With a draft that is always right; no token ends an answer."""
    return fresh(engines["same"], monkeypatch)


def fresh(loaded: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> GenerationEngine:
    assert loaded.draft is not None
    for decoder in (loaded.decoder, loaded.draft.decoder):
        decoder.rewind(0)
    loaded.draft.pace = DraftPace(CHEAP)
    monkeypatch.setattr(loaded.tokenizer, "stop_ids", frozenset())
    return loaded


def answer(loaded: GenerationEngine, prompt: str, params: SamplingParams, drafts: bool) -> tuple[str, str, int]:
    draft, loaded.draft = loaded.draft, loaded.draft if drafts else None
    verifies, loaded.decoder.verifies = loaded.decoder.verifies, drafts
    loaded.decoder.rewind(0)
    try:
        return told(TaskResult.fold(loaded.stream(prompt, params)))
    finally:
        loaded.draft, loaded.decoder.verifies = draft, verifies


def told(result: TaskResult) -> tuple[str, str, int]:
    return result.text, result.finish_reason, result.usage.completion_tokens


def passes(loaded: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """How many tokens each pass of the decoder and of its draft is over, from now on."""
    assert loaded.draft is not None
    counts: tuple[list[int], list[int]] = [], []
    for count, decoder in zip(counts, (loaded.decoder, loaded.draft.decoder), strict=True):
        monkeypatch.setattr(decoder, "forward", counted(decoder.forward, count))
    return counts


def counted(forward: Any, count: list[int]) -> Any:
    def run(tokens: Sequence[int], last: int = 1) -> Any:
        count.append(len(tokens))
        return forward(tokens, last)

    return run


@pytest.mark.parametrize("name", DRAFTS)
@UNLIMITED
@given(
    prompt=st.text(alphabet="ab ,\n", min_size=1, max_size=60),
    max_tokens=st.integers(1, 40),
    stop=st.sampled_from([(), ("a",), ("ab", "\n"), ("\u00e9",)]),
)
def test_greedy_answers_are_those_without_a_draft(
    name: str, engines: dict[str, GenerationEngine], prompt: str, max_tokens: int, stop: tuple[str, ...]
) -> None:
    params = SamplingParams(max_tokens=max_tokens, stop=stop)
    assert answer(engines[name], prompt, params, True) == answer(engines[name], prompt, params, False)


@pytest.mark.parametrize("name", DRAFTS)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_drawn_answers_of_one_seed_are_those_without_a_draft(
    name: str, penalty: float, engines: dict[str, GenerationEngine]
) -> None:
    for seed in range(3):
        params = SamplingParams(max_tokens=30, temperature=0.9, top_k=4, repetition_penalty=penalty, seed=seed)
        assert answer(engines[name], PROMPT, params, True) == answer(engines[name], PROMPT, params, False)


def test_recorded_passes_draft_and_check_the_same(main: Checkpoint, other: Checkpoint) -> None:
    for draft in (main, other):
        loaded, params = load(main, draft), SamplingParams(max_tokens=30)
        expected = answer(loaded, PROMPT, params, False)
        loaded.prepare()
        assert answer(loaded, PROMPT, params, True) == expected


def test_a_draft_that_is_right_saves_passes(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    params = SamplingParams(max_tokens=80)
    expected = answer(ours, PROMPT, params, False)
    decoded, _ = passes(ours, monkeypatch)
    result = TaskResult.fold(ours.stream(PROMPT, params))
    assert told(result) == expected
    assert max(decoded[1:]) == 1 + MOST
    assert len(decoded) < 20
    assert result.usage.guessed_tokens - 1 <= result.usage.accepted_tokens <= result.usage.guessed_tokens
    assert result.usage.accepted_tokens > 60


def test_a_draft_that_is_wrong_costs_little(
    engines: dict[str, GenerationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = fresh(engines["other"], monkeypatch)
    decoded, drafted = passes(loaded, monkeypatch)
    list(loaded.stream(PROMPT, SamplingParams(max_tokens=200)))
    assert len(decoded) <= 200
    first = len(drafted)
    assert first < 80
    list(loaded.stream("another text", SamplingParams(max_tokens=200)))
    # What one answer taught holds for the next: few tokens are drafted, and the prompt is not read for nothing.
    assert 0 < len(drafted) - first < 30


def test_lookup_guesses_first_and_the_draft_where_nothing_repeats() -> None:
    learned: list[tuple[int, int]] = []

    class Fixed:
        def guess(self, tokens: Sequence[int], most: int) -> list[int]:
            return [7][:most]

        def learn(self, guessed: int, right: int) -> None:
            learned.append((guessed, right))

    chain = Chain(Lookup(), Fixed())
    assert chain.guess([1, 2, 3, 4, 1, 2], 2) == [3, 4]
    chain.learn(2, 2)
    assert learned == []
    assert chain.guess([1, 2, 3, 4, 1, 2, 3, 4, 9], 2) == [7]
    chain.learn(1, 0)
    assert learned == [(1, 0)]
    assert chain.guess([1, 2, 3, 4, 1, 2, 3, 4, 9], 0) == []


def gain(cost: float, right: float) -> tuple[float, int]:
    """Tokens in the time of one without guesses, each of which is right with that probability; the usual length."""
    pace, drawn, tokens, time, lengths = DraftPace(cost), random.Random(1), 0, 0.0, []
    for _ in range(2000):
        lengths.append(length := pace.length())
        accepted = next((n for n in range(length) if drawn.random() >= right), length)
        if length:
            pace.learn(length, accepted)
        tokens, time = tokens + 1 + accepted, time + 1 + length * (cost + 0.1)
    return tokens / time, sorted(lengths)[1000]


@pytest.mark.parametrize("cost", [0.05, 0.2, 0.5, 1.0, 3.0])
def test_a_draft_never_costs_much_however_slow_and_wrong_it_is(cost: float) -> None:
    for right in (0.0, 0.3, 0.5, 0.7, 0.9, 1.0):
        assert gain(cost, right)[0] > (0.96 if cost <= 1 else 0.9)


def test_a_good_draft_gains_nearly_what_the_best_length_would() -> None:
    for cost, right in ((0.05, 0.6), (0.05, 0.8), (0.05, 1.0), (0.2, 0.8), (0.5, 0.9)):
        best = max(sum(right**n for n in range(k + 1)) / (1 + k * (cost + 0.1)) for k in range(MOST + 1))
        assert 1.1 < best * 0.93 < gain(cost, right)[0]


def test_the_number_of_guesses_follows_what_they_cost_and_how_many_are_right() -> None:
    assert gain(0.05, 1.0)[1] == MOST
    assert MOST > gain(0.05, 0.8)[1] > gain(0.05, 0.6)[1] > gain(0.05, 0.0)[1] == 0
    assert gain(0.05, 0.8)[1] > gain(0.5, 0.8)[1] > 0
    assert gain(1.0, 1.0)[1] == 0  # As slow as the decoder itself.


def test_a_rest_grows_and_ends() -> None:
    pace, gaps, gap = DraftPace(0.1), [], 0
    for _ in range(600):
        if length := pace.length():
            pace.learn(length, 0)
            gaps.append(gap)
        gap = 0 if length else gap + 1
    assert gaps[:3] == [0, 0, 0]
    assert gaps[-2:] == [64, 64]
    while not pace.length():
        pass
    for _ in range(12):
        pace.learn(2, 2)
    assert pace.length() > 2


def test_the_draft_reads_only_what_is_new(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    _, drafted = passes(ours, monkeypatch)
    opening = Conversation.ask("Who is there? " * 8)
    text = TaskResult.fold(ours.stream(opening, SamplingParams(max_tokens=30))).text
    read = len(ours.tokenizer.encode(opening)) + 1
    assert drafted[0] == read
    assert max(drafted[1:]) <= 2  # the last guess, and the token after it
    del drafted[:]
    going_on = opening.add("assistant", text).add("user", "And who are you?")
    list(ours.stream(going_on, SamplingParams(max_tokens=30)))
    assert drafted[0] < len(ours.tokenizer.encode(going_on)) - read


@pytest.mark.parametrize("name", DRAFTS)
def test_an_answer_left_half_way_leaves_both_caches_usable(name: str, engines: dict[str, GenerationEngine]) -> None:
    loaded, params = engines[name], SamplingParams(max_tokens=40)
    expected = answer(loaded, PROMPT, params, False)
    for steps in (1, 2, 9):
        half = loaded.stream(PROMPT + " ran", params)
        for _ in range(steps):
            next(half, None)
        half.close()  # type: ignore[attr-defined]
        assert told(TaskResult.fold(loaded.stream(PROMPT, params))) == expected


@pytest.mark.parametrize(
    ("side", "after"), [("decoder", 0), ("decoder", 1), ("decoder", 3), ("draft", 0), ("draft", 1), ("draft", 8)]
)
def test_ctrl_c_anywhere_leaves_both_caches_usable(
    side: str, after: int, ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ours.draft is not None
    params = SamplingParams(max_tokens=40)
    expected = answer(ours, PROMPT, params, False)
    cache = (ours.decoder if side == "decoder" else ours.draft.decoder)._cache  # type: ignore[attr-defined]
    reserve, count = cache.reserve, iter(range(after))

    def interrupted(T: int) -> Any:
        slots = reserve(T)
        slots.new_k.fill_(9.0)  # A pass has begun.
        if next(count, None) is None:
            raise KeyboardInterrupt
        return slots

    with monkeypatch.context() as patch:
        patch.setattr(cache, "reserve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(ours.stream(PROMPT, params))
    assert told(TaskResult.fold(ours.stream(PROMPT, params))) == expected
    assert answer(ours, PROMPT, params, True) == expected


def test_prompts_side_by_side_are_answered_as_without_a_draft(engines: dict[str, GenerationEngine]) -> None:
    loaded, prompts = engines["other"], [PROMPT[n:] for n in range(12)]
    params = [SamplingParams(max_tokens=5 + n) for n in range(12)]
    expected = [answer(loaded, *pair, False) for pair in zip(prompts, params, strict=True)]
    events: list[list[Event]] = [[] for _ in prompts]
    for index, event in loaded.stream_many(prompts, params):
        events[index].append(event)
    assert [told(TaskResult.fold(own)) for own in events] == expected
    assert answer(loaded, PROMPT, SamplingParams(max_tokens=30), True)[0].startswith(expected[0][0])


def test_a_draft_of_a_shorter_context_ends_where_it_is_full(
    main: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(main, saved(tmp_path / "short", max_position_embeddings=60))
    loaded.tokenizer.stop_ids = frozenset()
    expected = answer(loaded, PROMPT, SamplingParams(max_tokens=60), False)
    _, drafted = passes(loaded, monkeypatch)
    assert answer(loaded, PROMPT, SamplingParams(max_tokens=60), True) == expected
    assert sum(drafted) >= 50
    assert len(loaded.draft.decoder.tokens) <= 60  # type: ignore[union-attr]


@pytest.mark.parametrize(("rows", "draft_rows"), [(tiny.VOCAB_SIZE + 80, tiny.VOCAB_SIZE), (tiny.VOCAB_SIZE, 600)])
def test_embeddings_padded_otherwise_are_no_matter(rows: int, draft_rows: int, tmp_path: Path) -> None:
    """Random weights choose the rows that stand for no token as often as any."""
    large, small = saved(tmp_path / "large", vocab_size=rows), saved(tmp_path / "small", seed=1, vocab_size=draft_rows)
    loaded = load(large, small)
    loaded.tokenizer.stop_ids = frozenset()
    most = 0
    for seed in range(5):
        params = SamplingParams(max_tokens=40, temperature=2.0, seed=seed)
        assert answer(loaded, PROMPT, params, True) == answer(loaded, PROMPT, params, False)
        most = max(most, *loaded.decoder.tokens)
    assert (most >= tiny.VOCAB_SIZE) == (rows > tiny.VOCAB_SIZE)


def test_verbose_statistics_tell_how_many_guesses_were_right(ours: GenerationEngine) -> None:
    one = TaskResult.fold(ours.stream(PROMPT, SamplingParams(max_tokens=20)))
    usage = one.usage
    assert f" · {usage.accepted_tokens} of {usage.guessed_tokens} guesses right · length" in statistics(one)
    both = replace(one, usage=usage + usage)
    assert f"{2 * usage.accepted_tokens} of {2 * usage.guessed_tokens} guesses" in statistics(both)
    assert "guesses" not in statistics(replace(one, usage=Usage(9, 0, 3)))


def test_the_same_tokens_written_otherwise_are_one_vocabulary(main: Checkpoint, tmp_path: Path) -> None:
    draft = saved(tmp_path / "draft")
    file = draft.path / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")), indent=1), encoding="utf-8")
    assert file.read_bytes() != (main.path / "tokenizer.json").read_bytes()
    assert isinstance(load(main, draft).draft, Draft)


def test_another_vocabulary_is_refused_in_a_line_that_names_both(main: Checkpoint, tmp_path: Path) -> None:
    draft = saved(tmp_path / "draft")
    file = draft.path / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace("<|im_end|>", "<end>"), encoding="utf-8")
    with pytest.raises(UsageError) as error:
        load(main, draft)
    assert (
        error.value.message
        == "draft cannot draft for main: token 258 is '<end>' in the one and '<|im_end|>' in the other"
    )
    assert "leave it out" in str(error.value.hint)


def test_what_cannot_check_guesses_is_told_so(main: Checkpoint, tmp_path: Path) -> None:
    experts = {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}
    refused = {
        "runs on transformers": saved(tmp_path / "neox", "gpt_neox", num_key_value_heads=None),
        "several tokens in one pass": saved(tmp_path / "moe", "qwen3_moe", **experts),
        "is no decoder": replace(main, kind="seq2seq"),
    }
    for reason, checkpoint in refused.items():
        with pytest.raises(UsageError, match=reason) as error:
            load(checkpoint, main)
        assert error.value.message.count(checkpoint.name)
        assert error.value.hint == "leave out --draft"


def test_what_cannot_draft_is_told_so(main: Checkpoint, tmp_path: Path) -> None:
    neox = saved(tmp_path / "neox", "gpt_neox", num_key_value_heads=None)
    for draft, reason in ((neox, "neox cannot be a draft"), (replace(main, kind="classifier"), "is no decoder")):
        with pytest.raises(UsageError, match=reason):
            load(main, draft)


def test_a_draft_that_is_no_smaller_is_noted(main: Checkpoint, tmp_path: Path) -> None:
    notices: list[Event] = []
    small = saved(tmp_path / "small", num_hidden_layers=1)
    for draft, said in ((main, 1), (small, 0)):
        notices.clear()
        engine.load(main, LoadOptions("cpu", "float32", draft=draft), notices.append)
        shown = [event.text for event in notices if isinstance(event, Notice) and not event.verbose]
        assert len(shown) == said
        assert all("no smaller" in text for text in shown)


def test_the_options_of_the_engine_are_the_drafts(main: Checkpoint) -> None:
    loaded = engine.load(main, LoadOptions("cpu", bits=8, draft=main))
    assert isinstance(loaded, GenerationEngine)
    assert loaded.draft is not None
    sizes = {decoder.weight_bytes for decoder in (loaded.decoder, loaded.draft.decoder)}  # type: ignore[attr-defined]
    assert len(sizes) == 1
    assert sizes.pop() < engine.load(main, LoadOptions("cpu")).decoder.weight_bytes  # type: ignore[union-attr]


@given(st.lists(st.integers(0, 1), max_size=12), st.lists(st.integers(0, 1), max_size=12))
def test_the_shared_prefix_is_what_both_begin_with(a: list[int], b: list[int]) -> None:
    shared = shared_prefix(a, b)
    assert a[:shared] == b[:shared]
    assert shared in (len(a), len(b)) or a[shared] != b[shared]


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    folder_checkpoint(tmp_path / "large")
    folder_checkpoint(tmp_path / "checkpoints" / "smollm2")
    places = {
        "LMCLI_MODEL": "large",
        "LMCLI_CACHE": ".",
        "LMCLI_STATE": "state",
        "LMCLI_DATA": "data",
        "LMCLI_CONFIG": "none",
        "HF_HUB_CACHE": "hub",
    }
    return {name: str(tmp_path / place) for name, place in places.items()}


@pytest.mark.parametrize("command", ["generate", "chat", "summarize", "translate --to fr"])
def test_the_draft_is_found_like_any_checkpoint(command: str, here: dict[str, str]) -> None:
    loaded: list[tuple[str, str | None]] = []

    def load(checkpoint: Checkpoint, options: LoadOptions, report: Any) -> ScriptedEngine:
        loaded.append((checkpoint.name, options.draft and options.draft.name))
        return ScriptedEngine(["Bonjour."])

    for arguments, draft in (["--draft", "smollm2"], "smollm2"), ([], None):
        stdin = io.BytesIO(b"The weather is lovely today and we are going for a walk.\n")
        environment = Environment(stdin, io.StringIO(), io.StringIO(), here, load)  # type: ignore[arg-type]
        assert run([*command.split(), *arguments], environment) == 0
        assert loaded.pop() == ("large", draft)


def test_a_draft_that_is_not_here_is_told_as_any_checkpoint_is(here: dict[str, str]) -> None:
    for ref in ("qwen3-0.6b", "no-such-model", "./nowhere"):
        results = [
            invoke("generate", "--offline", *arguments, "Hello", engine=ScriptedEngine(), variables=here)
            for arguments in (["--draft", ref], ["-m", ref])
        ]
        assert results[0] == results[1]
        assert results[0].code == 3
        assert ref in results[0].stderr


def test_commands_that_write_nothing_take_no_draft() -> None:
    for command in ("sentiment", "bench"):
        assert "No such option" in invoke(command, "--draft", "smollm2", engine=ScriptedEngine()).stderr
