"""Likelihoods of many prompts in one pass: those that each prompt has alone, in every family of decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers
from test_parity import VARIANTS, name

from lmcli import engine
from lmcli.engine.branches import Branch, tree
from lmcli.engine.generation import GenerationEngine
from lmcli.errors import InputTooLong
from lmcli.types import Conversation, LoadOptions

TEXTS = ["The match ended in a draw.", "我喜欢在下雨天读书。", "Rain!", "She reads a book every evening. " * 3, "Rain!"]
PROMPTS = [f"Texts and what they are about.\n\nText: {text}\nTopic:" for text in TEXTS]
LABELS = [" sport", " books", "!", " a", " 天气"]
# Of each family one that looks back so far only as its window reaches, where there is such a one.
OF_EACH_FAMILY = {variant[0]: variant for variant in VARIANTS if variant[1].get("sliding_window", 24)}.values()


def load(folder: Path, variant: tuple[str, dict[str, Any]] = ("llama", {})) -> GenerationEngine:
    tiny.save(folder, tiny.config(variant[0], **variant[1]))
    loaded = engine.load(tiny.checkpoint(folder, variant[0]), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, GenerationEngine)
    return loaded


def passes(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each pass over branches."""
    seen: list[int] = []
    branch = ours.decoder.branch
    monkeypatch.setattr(ours.decoder, "branch", lambda tree: (seen.append(len(tree.tokens)), branch(tree))[1])
    return seen


@pytest.mark.parametrize("variant", OF_EACH_FAMILY, ids=name)
def test_prompts_scored_together_have_the_likelihoods_they_have_alone(
    variant: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load(tmp_path, variant)
    alone = [ours.score(prompt, LABELS) for prompt in PROMPTS]
    seen = passes(ours, monkeypatch)
    for own, expected in zip(ours.score_many(PROMPTS, LABELS), alone, strict=True):
        assert own == pytest.approx(expected, abs=2e-3)
    assert 0 < len(seen) < len(PROMPTS)


def test_what_all_prompts_begin_with_is_held_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load(tmp_path)
    ours.score_many(PROMPTS, LABELS)
    shared = len(ours.tokenizer.encode("Texts and what they are about.\n\nText: "))
    assert len(ours.decoder.tokens) == shared
    fed: list[int] = []
    forward = ours.decoder.forward
    monkeypatch.setattr(ours.decoder, "forward", lambda tokens, last=1: (fed.extend(tokens), forward(tokens, last))[1])
    ours.score_many(PROMPTS, LABELS)
    assert fed == []


def test_a_text_longer_than_a_pass_is_scored_among_short_ones(tmp_path: Path) -> None:
    ours = load(tmp_path, ("llama", {"max_position_embeddings": 2048}))
    prompts = [PROMPTS[0], f"Texts and what they are about.\n\nText: {'x' * 900}\nTopic:", PROMPTS[2]]
    expected = [ours.score(prompt, LABELS) for prompt in prompts]
    for own, alone in zip(ours.score_many(prompts, LABELS), expected, strict=True):
        assert own == pytest.approx(alone, abs=2e-3)


@pytest.mark.parametrize("prompts", [["a", "b"], ["same", "same"], ["ab", "a"], ["one"], []])
def test_prompts_need_not_begin_alike(prompts: list[str], tmp_path: Path) -> None:
    ours = load(tmp_path)
    expected = [ours.score(prompt, LABELS) for prompt in prompts]
    found = ours.score_many(prompts, LABELS)
    assert len(found) == len(expected)
    for own, alone in zip(found, expected, strict=True):
        assert own == pytest.approx(alone, abs=2e-3)


def test_conversations_are_scored_through_their_template(tmp_path: Path) -> None:
    ours = load(tmp_path)
    asked = [Conversation.ask(text, system="Name the topic.") for text in TEXTS]
    expected = [ours.score(prompt, LABELS) for prompt in asked]
    for own, alone in zip(ours.score_many(asked, LABELS), expected, strict=True):
        assert own == pytest.approx(alone, abs=2e-3)


def test_an_architecture_of_transformers_scores_one_by_one(tmp_path: Path) -> None:
    ours = load(tmp_path, ("gpt_neox", {"hidden_act": "gelu"}))
    expected = [ours.score(prompt, LABELS) for prompt in PROMPTS]
    for own, alone in zip(ours.score_many(PROMPTS, LABELS), expected, strict=True):
        assert own == pytest.approx(alone, abs=2e-3)


def test_a_prompt_that_does_not_fit_is_refused_before_any_is_scored(tmp_path: Path) -> None:
    ours = load(tmp_path)
    with pytest.raises(InputTooLong, match="more than the 512"):
        ours.score_many([PROMPTS[0], "x" * 600], LABELS)
    assert ours.decoder.tokens == []


def test_a_branch_sees_the_cache_what_it_grows_from_and_itself() -> None:
    grown = tree([Branch([5, 6], 1), Branch([7, 8], 2, parent=0), Branch([9], 1)], held=3)
    assert grown.tokens == [5, 6, 7, 8, 9]
    assert grown.positions == [3, 4, 5, 6, 3]
    assert grown.wanted == 4
    assert [row[3:] for row in grown.seen.int().tolist()] == [
        [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert bool(grown.seen[:, :3].all())


def by_transformers(folder: Path, text: str, window: int, stride: int) -> list[float]:
    """The log-likelihood of each token but the first, by the loop that transformers' guide to perplexity describes."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([tiny.byte_tokenizer().encode(text).ids])
    found: list[float] = []
    before = 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + window, ids.shape[1])
        seen = ids[:, begin:end]
        with torch.no_grad():
            likelihoods = model(seen).logits[0, :-1].log_softmax(-1).gather(1, seen[0, 1:].unsqueeze(1)).squeeze(1)
        new = end - max(before, begin + 1)
        found += likelihoods[len(likelihoods) - new :].tolist()
        before = end
        if end == ids.shape[1]:
            break
    return found


TEXT = "It was the best of times, it was the worst of times. 那是最好的时代。 " * 5


@pytest.mark.parametrize(("window", "stride"), [(512, 512), (96, 32), (300, 150), (64, 63)])
def test_a_text_of_any_length_is_scored_as_transformers_scores_it(window: int, stride: int, tmp_path: Path) -> None:
    ours = load(tmp_path)
    stretches = list(ours.score_text(TEXT, window, stride))
    expected = by_transformers(tmp_path, TEXT, window, stride)
    assert sum(stretch.tokens for stretch in stretches) == len(expected) == len(TEXT.encode()) - 1
    done = 0
    for stretch in stretches:
        own = expected[done : done + stretch.tokens]
        assert stretch.likelihood == pytest.approx(sum(own), abs=2e-3)
        done += stretch.tokens


def test_windows_that_do_not_overlap_leave_no_token_unscored(tmp_path: Path) -> None:
    ours = load(tmp_path)
    stretches = list(ours.score_text("abcdefghij", 4, 4))
    assert [(stretch.tokens, stretch.text) for stretch in stretches] == [(0, "a"), (3, "bcd"), (4, "efgh"), (2, "ij")]
    alone = ours.score("d", ["efgh"])[0]  # Of the window before it the second sees one token.
    assert stretches[2].likelihood == pytest.approx(alone, abs=1e-4)


def test_a_token_that_begins_every_text_is_seen_and_not_scored(tmp_path: Path) -> None:
    ours = load(tmp_path)
    start = "<|endoftext|>"
    expected = ours.score(start, ["abc"])[0]
    encode = ours.tokenizer.encode_text
    ours.tokenizer.encode_text = lambda text: [*encode(start), *encode(text)]  # type: ignore[method-assign]
    unscored, scored = ours.score_text("abc", 8, 8)
    assert (unscored.tokens, unscored.text) == (0, "")
    assert (scored.tokens, scored.likelihood) == (3, pytest.approx(expected, abs=1e-4))


def test_a_text_of_no_more_than_one_token_has_nothing_to_score(tmp_path: Path) -> None:
    ours = load(tmp_path)
    assert list(ours.score_text("", 8, 4)) == []
    assert [stretch.tokens for stretch in ours.score_text("x", 8, 4)] == [0]


def test_an_architecture_of_transformers_scores_texts_too(tmp_path: Path) -> None:
    ours = load(tmp_path, ("gpt_neox", {"hidden_act": "gelu"}))
    expected = sum(by_transformers(tmp_path, TEXT, 96, 32))
    assert sum(s.likelihood for s in ours.score_text(TEXT, 96, 32)) == pytest.approx(expected, abs=5e-3)
