"""`lmcli chat` as a process of its own on a scripted engine: `chat_program.py FOLDER chat [OPTIONS]`.

FOLDER/script.json says what the engine does: `answers`, `context_length`, and `hold_load` or `load_error`. In an
answer the word HOLD waits for the test to `release`, `THINK word` is a word of reasoning and `FAIL` an error.
Each prompt goes to FOLDER/prompts.jsonl as its messages.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripted import ScriptedEngine, plain

from lmcli import cli
from lmcli.environment import Environment
from lmcli.errors import InputTooLong, OutOfMemory, UsageError
from lmcli.protocols import Engine
from lmcli.types import Chunk, Conversation, Done, Event, Prompt, Reasoning, SamplingParams, Usage

HOLD, THINK, FAIL = "HOLD", "THINK", "FAIL"


@dataclass
class SlowEngine(ScriptedEngine):
    """Streams its answers a word at a time, and waits where the script says so."""

    folder: Path = field(default_factory=Path)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        assert isinstance(prompt, Conversation)
        if self.count(prompt) >= self.context_length:
            raise InputTooLong(f"the text has {self.count(prompt)} tokens", "shorten it")
        with (self.folder / "prompts.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps([[m.role, m.content] for m in prompt.messages], ensure_ascii=False) + "\n")
        return self._words(self._answer(plain(prompt)), self.count(prompt))

    def _words(self, answer: str, prompt_tokens: int) -> Iterator[Event]:
        pieces = re.findall(r"\s*\S+|\s+$", answer)
        thinking = False
        for piece in pieces:
            match piece.strip():
                case "HOLD":
                    wait_for(self.folder / "release")
                case "THINK":
                    thinking = True
                case "FAIL":
                    raise OutOfMemory("the KV cache does not fit into memory", "/clear makes room")
                case _:
                    yield Reasoning(piece) if thinking else Chunk(piece)
                    thinking = False
        yield Done("stop", Usage(prompt_tokens, 0, len(pieces), 0.1, 0.1))


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.005)
    file.unlink()


def main() -> None:
    folder = Path(sys.argv[1])
    script = json.loads((folder / "script.json").read_text(encoding="utf-8"))

    def load(*_args: object, **_options: object) -> Engine:
        if script.get("hold_load"):
            wait_for(folder / "release")
        if script.get("load_error"):
            raise UsageError(script["load_error"], "--device cpu")
        return SlowEngine(script["answers"], script.get("context_length", 2048), folder=folder)

    cli.leave(cli.run(sys.argv[2:], Environment.of_process(load)))


if __name__ == "__main__":
    main()
