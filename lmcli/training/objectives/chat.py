"""Conversations: a language model that learns what the assistant says, and only that, in its own chat template."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from lmcli.data.examples import Example
from lmcli.training.loss import IGNORED
from lmcli.training.objectives import Sample
from lmcli.training.objectives.continue_text import ContinueText
from lmcli.training.plan import Plan

# What a base checkpoint is given: ChatML, as OpenAI published it and most templates since have it.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_MARKS = ["<|im_start|>", "<|im_end|>"]


def build(plan: Plan) -> Chat:
    return Chat(plan)


class Chat(ContinueText):
    """The loss is computed on the assistant's tokens alone, the one that ends its turn among them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        if not self.tokenizer.chat_template:
            self._add_template()

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        """A conversation that is too long is cut at its end; the checks have counted how many are."""
        return [self._sample(example) for example in examples]

    def _sample(self, example: Example) -> Sample:
        messages = [{"role": message.role, "content": message.content} for message in example.messages]
        tokens, labels = array("i"), array("i")
        text = ""
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._render(messages[:turn], add_generation_prompt=True)
            after = self._render(messages[: turn + 1])
            # Templates that change what came before (they may drop reasoning) are followed to the last turn they keep.
            if not (before.startswith(text) and after.startswith(before)):
                break
            asked, said = self._tokens(before[len(text) :]), self._tokens(after[len(before) :])
            tokens += array("i", asked + said)
            labels += array("i", [IGNORED] * len(asked) + said)
            text = after
        return Sample(tokens[: self._longest], labels[: self._longest])

    def _render(self, messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _add_template(self) -> None:
        self.tokenizer.chat_template = CHATML
        self.tokenizer.add_special_tokens({"additional_special_tokens": _MARKS})
        if len(self.tokenizer) > self.model.get_input_embeddings().num_embeddings:
            self.model.resize_token_embeddings(len(self.tokenizer))
        end: Any = self.tokenizer.convert_tokens_to_ids(_MARKS[1])
        self.tokenizer.eos_token = _MARKS[1]
        self.model.config.eos_token_id = self.model.generation_config.eos_token_id = end
