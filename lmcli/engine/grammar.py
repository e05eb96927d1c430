"""Grammars: which tokens an answer may go on with, so that it follows a JSON schema, a pattern or a grammar.

llguidance walks the grammar and the vocabulary's tree together: a mask over all tokens takes a fraction of a
millisecond (https://github.com/guidance-ai/llguidance). It reads its own copy of the tokenizer, which takes longer
than all masks of an answer, so that copy is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lmcli.errors import CheckpointError, LmcliError, UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from llguidance import LLMatcher, LLTokenizer

    from lmcli.engine.tokenizer import Tokenizer
    from lmcli.types import Grammar

_PLACED = 100_000  # characters of a schema; in a larger one finding the wrong part would take seconds


class Grammars:
    """The grammars of one tokenizer; the last one stays compiled, for requests come in series."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: LLTokenizer | None = None
        self._last: tuple[Grammar, LLMatcher] | None = None

    def begin(self, grammar: Grammar) -> Constraint:
        """The constraint on a new answer.

        Raises UsageError as `check` does, CheckpointError for a tokenizer whose tokens have no bytes of their own.
        """
        if self._last is None or self._last[0] != grammar:
            self._last = grammar, self._compile(grammar)
        return Constraint(self._last[1].deep_copy())  # The copy shares what was compiled.

    def _compile(self, grammar: Grammar) -> LLMatcher:
        library, compiled = _library(), check(grammar)
        if self._vocabulary is None:
            self._vocabulary = _read_vocabulary(library, self._tokenizer)
        matcher: LLMatcher = library.LLMatcher(self._vocabulary, compiled, log_level=0)
        if matcher.is_error():
            raise UsageError(f"the {_NAMES[grammar.kind]} cannot be followed: {_one_line(matcher.get_error())}")
        return matcher


class Constraint:
    """One answer's way through its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def ended(self) -> bool:
        """Whether nothing but the end may follow."""
        return self._matcher.is_stopped()

    def allowed(self) -> bytes:
        """A bit for each token, the lowest of a byte first: whether it may come next; a stop id where all is said."""
        return self._told(self._matcher.compute_bitmask())

    def forced(self) -> list[int]:
        """The next tokens, as far as the grammar leaves no choice."""
        return self._told(self._matcher.compute_ff_tokens())

    def fitting(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` may come next, one after the other."""
        return self._told(self._matcher.validate_tokens(list(tokens)))

    def take(self, token: int) -> None:
        self._told(self._matcher.consume_token(token))

    def _told(self, value: Any) -> Any:
        """`value`; llguidance raises nothing where a grammar outgrows its limits, it says so if asked."""
        if self._matcher.is_error():
            reason = _one_line(self._matcher.get_error())
            raise LmcliError(f"the grammar cannot be followed any further: {reason}", "make it simpler")
        return value


def check(grammar: Grammar) -> str:
    """`grammar` as llguidance takes it. No keyword of a schema is passed over that it cannot keep to.

    Raises UsageError, with the place in the schema, for what is wrong or not supported, and where llguidance is not
    installed.
    """
    matcher = _library().LLMatcher
    if grammar.kind == "json":
        return _check_schema(matcher, grammar.source)
    compile = matcher.grammar_from_regex if grammar.kind == "regex" else matcher.grammar_from_lark
    compiled: str = compile(grammar.source)
    wrong, said = matcher.validate_grammar_with_warnings(compiled)
    if wrong:
        raise UsageError(f"the {_NAMES[grammar.kind]} is not valid: {_one_line(said[0])}")
    return compiled


_NAMES = {"json": "JSON schema", "regex": "regular expression", "lark": "grammar"}


def _check_schema(matcher: type[LLMatcher], source: str) -> str:
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the JSON schema is not JSON: {error}", "a JSON schema is a JSON object") from None
    if not isinstance(schema, dict):
        raise UsageError("the JSON schema is not an object", "the least one is {}, which allows any JSON")
    reason = _refusal(matcher, schema)
    if reason is None:
        return _compile_schema(matcher, schema)
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    place = _place(matcher, schema, shared, reason) if len(source) <= _PLACED else None
    raise UsageError(
        f"the JSON schema cannot be followed{f', at #{place}' if place else ''}: {_one_line(reason)}",
        "say it otherwise, or leave it out and check the answer yourself",
    )


def _refusal(matcher: type[LLMatcher], schema: dict[str, Any]) -> str | None:
    try:
        wrong, said = matcher.validate_grammar_with_warnings(_compile_schema(matcher, schema))
    except ValueError as error:  # a number beyond all bounds, half of a character, an "x-guidance" that is none
        return str(error)
    return said[0] if wrong else None


def _compile_schema(matcher: type[LLMatcher], schema: dict[str, Any]) -> str:
    # Tokens that are only blank space are time; the schema's own "x-guidance" may ask for it.
    return matcher.grammar_from_json_schema(json.dumps(closed(schema)), defaults={"whitespace_flexible": False})


def closed(schema: dict[str, Any]) -> Any:
    """`schema` with no other keys than it names where it says nothing of others: a model would go on inventing them.

    What follows the one follows the other. A schema that joins the keys of several parts is left as it is.
    """
    return schema if any(map(_joins, _objects(schema))) else _closed(schema)


def _joins(part: dict[str, Any]) -> bool:
    return "allOf" in part or ("properties" in part and not part.keys().isdisjoint(("anyOf", "oneOf", "$ref")))


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
    for _, inner in _parts(part):
        yield from _objects(inner)


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    inner = {key: part[key] if key in _VALUES else _closed(part[key]) for key in part}
    named, required = part.get("properties"), part.get("required", [])
    if not isinstance(named, dict) or not _OTHERS.isdisjoint(part) or not named.keys() >= set(map(str, required)):
        return inner
    return inner | {"additionalProperties": False}


_VALUES = {"enum", "const", "default", "examples", "x-guidance"}  # no schemas
_OTHERS = {"additionalProperties", "patternProperties", "unevaluatedProperties", "minProperties"}


def _place(matcher: type[LLMatcher], part: Any, shared: dict[str, Any], reason: str) -> str | None:
    """The JSON pointer, in `part`, to the innermost schema that is refused for this very reason."""
    for key, inner in _parts(part):
        found = _place(matcher, inner, shared, reason)
        if found is not None:
            return f"/{key}{found}"
    return "" if isinstance(part, dict) and _refusal(matcher, shared | part) == reason else None


def _parts(part: Any) -> Iterator[tuple[object, Any]]:
    return iter(part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ())


def _read_vocabulary(library: ModuleType, tokenizer: Tokenizer) -> LLTokenizer:
    backend, reason = tokenizer.backend, "it has no tokenizer.json"
    if backend is not None:
        # Some checkpoints name ends of other vocabularies.
        ends = [token for token in sorted(tokenizer.stop_ids) if backend.id_to_token(token) is not None]
        try:
            vocabulary: LLTokenizer = library.LLTokenizer(backend.to_str(), eos_token=ends or None)
            return vocabulary
        except ValueError as error:
            reason = _one_line(str(error))
    raise CheckpointError(
        f"this checkpoint's tokenizer cannot follow a grammar: {reason}", "choose another checkpoint: lmcli list --all"
    )


def _one_line(said: str) -> str:
    """What llguidance says, less the drawing of where in a pattern it is."""
    lines = [line.strip() for line in said.strip().splitlines()] or [""]
    wrong = next((line for line in lines if line.startswith("error: ")), None)
    return f"{lines[1]}: {wrong.removeprefix('error: ')}" if wrong and len(lines) > 2 else " ".join(lines)


def _library() -> ModuleType:
    try:
        import llguidance
    except ImportError:
        raise UsageError(
            "an answer that follows a schema needs llguidance, which is not installed",
            "install it: pip install 'lmcli[schema]'",
        ) from None
    return llguidance
