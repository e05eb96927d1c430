"""Chat templates: the Jinja a checkpoint carries, rendered as transformers renders it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmcli.engine.files import read_json
from lmcli.errors import CheckpointError
from lmcli.types import Conversation

# A Unicode noncharacter, never to be found in text: it parts a special token's name that a message merely quotes.
_PART = "\ufdd0"


class ChatTemplate:
    """`source` in Jinja, with the special tokens (`bos_token`, …) it may name.

    `marks` are the special tokens a message must not speak in; neither may it in those of the other `added` tokens
    that the template itself uses.
    """

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], marks: Collection[str], added: Collection[str] = ()
    ) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}
        self._special_tokens = dict(special_tokens)
        quoted = set(marks) | {token for token in added if token.strip() and token in source}
        self._quoted = re.compile("|".join(map(re.escape, sorted(quoted, key=len, reverse=True))) or "(?!)")
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(f"the checkpoint's chat template is broken: {error}") from error

    def render(self, conversation: Conversation, think: bool = True) -> list[str]:
        """The prompt up to where the assistant speaks, in pieces to be tokenized one by one.

        A message that quotes a special token (`<|im_end|>` in a log, say) is cut inside it, so that it stays text
        and cannot end the turn or speak as the system.
        """
        messages = [{"role": m.role, "content": self._disarm(m.content)} for m in conversation.messages]
        # What transformers passes: templates ask whether tools are None, not whether they are defined.
        context = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
        if not think:
            context["enable_thinking"] = False  # as Qwen 3 and SmolLM 3 call it; others do not ask
        try:
            text = self._template.render(**self._special_tokens, **context)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint's chat template refuses this conversation: {error}",
                "leave out the system message, or use lmcli generate",
            ) from error
        return text.split(_PART)

    def _disarm(self, content: str) -> str:
        return self._quoted.sub(lambda match: match[0][0] + _PART + match[0][1:], content.replace(_PART, ""))


def read_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    """The checkpoint's template: a file of its own, else tokenizer_config.json's (the `default` of several)."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    legacy = folder / "chat_template.json"
    template = (read_json(legacy) if legacy.is_file() else tokenizer_config).get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default") or next(iter(named.values()), None)
    return template if isinstance(template, str) else None


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    # Jinja's own filter escapes HTML, which no checkpoint was trained on.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
