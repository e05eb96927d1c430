"""Conversations: a language model that learns what the assistant says, and only that, in its own chat template."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from os.path import commonprefix

from jinja2 import TemplateError

from lmcli.data.examples import Example
from lmcli.errors import InputError
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
        self.new_tokens: list[int] = []  # that the template brought
        if not self.tokenizer.chat_template:
            self._add_template()

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        """A conversation that is too long is cut at its end; the checks have counted how many are.

        Templates that change what came before (they drop reasoning) make several of one.
        """
        samples = [sample for example in examples for sample in self._samples(example)]
        return [sample for sample in samples if any(label != IGNORED for label in sample.labels)]

    def _samples(self, example: Example) -> Iterator[Sample]:
        messages = [{"role": message.role, "content": message.content} for message in example.messages]
        tokens, labels = array("i"), array("i")
        text = ""
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            after = self._render(messages[: turn + 1], example)
            # A prompt may open the reasoning that an answer has none of.
            prompt = self._render(messages[:turn], example, add_generation_prompt=True)
            before = commonprefix([prompt, after])  # noqa: RUF071 - they are no paths
            if not before.startswith(text):
                yield Sample(tokens[: self._longest], labels[: self._longest])
                tokens, labels, text = array("i"), array("i"), ""
            asked, said = self._turn(before, after, text)
            tokens += array("i", asked + said)
            labels += array("i", [IGNORED] * len(asked) + said)
            text = after
        yield Sample(tokens[: self._longest], labels[: self._longest])

    def _turn(self, before: str, after: str, text: str) -> tuple[list[int], list[int]]:
        """The tokens of a turn, prompt and answer, behind `text`; as they are in the whole, where they are the same."""
        known, whole = (self._tokens(part) for part in (before, after))
        past = self._tokens(text)
        if whole[: len(known)] == known and known[: len(past)] == past:
            return known[len(past) :], whole[len(known) :]
        return self._tokens(before[len(text) :]), self._tokens(after[len(before) :])

    def _render(self, messages: list[dict[str, str]], of: Example, add_generation_prompt: bool = False) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise InputError(
                f"{of.place}: the checkpoint's chat template refuses this conversation: {error}",
                "leave out the system message, or the row",
            ) from error
        return text

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _add_template(self) -> None:
        self.tokenizer.chat_template = CHATML
        self.tokenizer.add_special_tokens({"additional_special_tokens": _MARKS})
        if len(self.tokenizer) > self.model.get_input_embeddings().num_embeddings:
            self.model.resize_token_embeddings(len(self.tokenizer))
        self.new_tokens = self.tokenizer.convert_tokens_to_ids(_MARKS)
        end = self.new_tokens[1]
        self.tokenizer.eos_token = _MARKS[1]
        self.model.config.eos_token_id = self.model.generation_config.eos_token_id = end
