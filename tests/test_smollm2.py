"""The real default checkpoint, from its mirror: true to transformers, and every command works on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lmcli import checkpoints, engine, settings
from lmcli.engine.generation import GenerationEngine
from lmcli.types import Checkpoint, Conversation, LoadOptions, SamplingParams, TaskResult

pytestmark = pytest.mark.download

QUESTIONS = [
    "What is the capital of France?",
    "Explain how a bicycle stays upright.",
    "Write a short story about a fox who learns to swim.",
]
ARTICLE = (
    "The town library reopened on Monday after two years of repairs. A storm had torn away part of the roof in 2022 "
    "and water ruined nine thousand books. Volunteers dried and rebound about half of them. The new roof carries solar "
    "panels that will pay for the heating. The mayor thanked the children who had collected money by washing cars. "
)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a user who has nothing, for whom the hub cannot be reached."""
    home = tmp_path_factory.mktemp("home")
    variables = os.environ | {
        "LMCLI_CACHE": str(home / "cache"), "LMCLI_DATA": str(home / "data"), "LMCLI_STATE": str(home / "state"),
        "LMCLI_CONFIG": str(home / "c.toml"),
        "HF_HUB_CACHE": str(home / "hub"), "HF_ENDPOINT": "http://127.0.0.1:9",
        "LMCLI_STARTERS": str(home / "starters"),
    }  # fmt: skip
    pulled = subprocess.run(
        [sys.executable, "-m", "lmcli", "pull", "smollm2"], env=variables, capture_output=True, text=True, check=False
    )
    assert pulled.returncode == 0, pulled.stderr
    return variables


@pytest.fixture(scope="module")
def smollm2(variables: dict[str, str]) -> Checkpoint:
    found = checkpoints.find("smollm2", settings.load(variables))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def reference(smollm2: Checkpoint) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=torch.float32).eval()


def run(variables: dict[str, str], *arguments: str, stdin: str = "") -> str:
    result = subprocess.run(
        [sys.executable, "-m", "lmcli", *arguments],
        input=stdin, env=variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_tokens_of_a_chat_are_those_of_transformers(smollm2: Checkpoint) -> None:
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(smollm2.path)
    ours = engine.load(smollm2, LoadOptions("cpu"))
    assert isinstance(ours, GenerationEngine)
    for text in [
        *QUESTIONS,
        ARTICLE,
        "今天天气很好 👩‍👩‍👧",
        "def f(x):\n\treturn  x ** 2\n\n\n# end",
        " naïve  café\r\n",
    ]:
        messages = [{"role": "user", "content": text}]
        expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ours.tokenizer.encode(Conversation.ask(text)) == expected
        assert ours.tokenizer.encode(text) == theirs(text)["input_ids"]


@pytest.mark.parametrize(("question", "count"), list(zip(QUESTIONS, [40, 120, 250], strict=True)))
def test_long_greedy_answers_equal_those_of_transformers(
    smollm2: Checkpoint, reference: Any, question: str, count: int
) -> None:
    ours = engine.load(smollm2, LoadOptions("cpu", "float32"))
    assert isinstance(ours, GenerationEngine)
    prompt = ours.tokenizer.encode(Conversation.ask(question))
    expected = ours.tokenizer.decode(tiny.greedy(reference, prompt, count))
    result = TaskResult.fold(ours.stream(Conversation.ask(question), SamplingParams(max_tokens=count)))
    assert result.text == expected


def test_the_default_precision_is_within_two_percent_of_fp32(smollm2: Checkpoint, reference: Any) -> None:
    ours = engine.load(smollm2, LoadOptions("cpu"))
    assert isinstance(ours, GenerationEngine)
    tokens = ours.tokenizer.encode(Conversation.ask(QUESTIONS[2]))
    answer = tiny.greedy(reference, tokens, 220)
    with torch.no_grad():
        expected = reference(torch.tensor([tokens + answer])).logits[0, len(tokens) - 1 : -1]
    rows = [ours.decoder.forward(tokens)]
    rows += [ours.decoder.forward([token]) for token in answer[:-1]]  # Teacher-forced: both see the same text.
    logits = torch.cat(rows)
    errors = (logits - expected).norm(dim=-1) / expected.norm(dim=-1)
    agreement = (logits.argmax(-1) == expected.argmax(-1)).float().mean()
    assert errors.mean() <= 0.02
    assert agreement >= 0.995


def test_it_knows_the_capital_of_france(variables: dict[str, str]) -> None:
    arguments = ["generate", "--chat", "--temperature", "0", QUESTIONS[0]]
    assert run(variables, *arguments) == "The capital of France is Paris.\n"
    assert run(variables, "chat", "--temperature", "0", stdin=QUESTIONS[0]) == "The capital of France is Paris.\n"


def test_every_text_command_works_in_a_pipe(variables: dict[str, str]) -> None:
    summary = json.loads(run(variables, "summarize", "--length", "short", "--json", stdin=ARTICLE))
    assert "library" in summary["text"].lower()
    assert summary["finish_reason"] == "stop"
    labels = run(variables, "sentiment", "--lines", stdin="I love this film.\nThis was a terrible waste of time.\n")
    assert [line.split("\t")[0] for line in labels.splitlines()] == ["positive", "negative"]
    translated = run(variables, "translate", "--to", "fr", stdin="Good morning.\n\nThank you.\n")
    assert [bool(line) for line in translated.split("\n")] == [True, False, True, False]
    assert run(variables, "generate", "--max-tokens", "8", stdin="今天天气很好")


def test_a_text_longer_than_the_context_is_summarized_in_parts(variables: dict[str, str], tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("\n\n".join(f"Chapter {i}. {ARTICLE}" for i in range(110)), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "lmcli", "summarize", "--length", "short", "-v", str(text)],
        env=variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "parts" in result.stderr
    assert result.stdout.strip()


def test_memory_stays_near_the_weights(variables: dict[str, str], smollm2: Checkpoint) -> None:
    """Anonymous memory at its peak: 1.3 times the weights and 500 MB."""
    command = [sys.executable, "-m", "lmcli", "generate", "--chat", "--max-tokens", "100", QUESTIONS[2]]
    process = subprocess.Popen(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        if not status.exists():
            pytest.skip("only Linux tells anonymous memory apart")
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if line.startswith("RssAnon"))
        peak = max(peak, int(lines.get("RssAnon", "0 kB").split()[0]) * 1024)
        time.sleep(0.02)
    assert process.returncode == 0
    assert peak <= 1.3 * smollm2.size_bytes + 500e6
