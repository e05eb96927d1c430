"""Every shared argument and option, declared once; a command asks for the group it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce, wraps
from typing import Any, TypeVar

import click

from lmcli.parameters import PARAMETERS

Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(command: Command) -> Command:
    """--json, --jsonl, -q, -v and --no-color; passes `renderer`."""

    @click.option("--json", "json_", is_flag=True, help="Print one JSON object.")
    @click.option("--jsonl", is_flag=True, help="Print one JSON object a line for each text.")
    @click.option("-q", "--quiet", is_flag=True, help="Print the answer and errors alone.")
    @click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is done, and how fast.")
    @click.option("--no-color", is_flag=True, help="No colour, also by NO_COLOR.")
    @click.pass_context
    @wraps(command)
    def wrapped(
        ctx: click.Context, /, json_: bool, jsonl: bool, quiet: bool, verbose: bool, no_color: bool, **rest: Any
    ) -> Any:
        from lmcli.render import Output, pick

        form = "jsonl" if jsonl else "json" if json_ else None
        asides = {name: ctx.meta.get(key, False) for name, key in _ASIDES.items()}
        renderer = pick(ctx.obj, Output(form, quiet, verbose, color=not no_color, **asides))
        try:
            result = ctx.invoke(command, renderer=renderer, **rest)
        except BaseException as error:
            renderer.close(error)
            raise
        renderer.close(None)
        return result

    return wrapped  # type: ignore[return-value]


_TIMINGS, _QUOTE, _DETAILED = "lmcli.timings", "lmcli.quote", "lmcli.detailed"
_ASIDES = {"timings": _TIMINGS, "quote": _QUOTE, "detailed": _DETAILED}  # what else the renderer is told
timings_option = click.option(
    "--timings", is_flag=True, expose_value=False, callback=lambda ctx, option, on: ctx.meta.update({_TIMINGS: on}),
    help="Say on stderr what each part of the run took.",
)  # fmt: skip


def detailed(command: Command) -> Command:
    """Above `output_options` of a command whose labels are shown with all there is to say of them."""

    @click.pass_context
    @wraps(command)
    def wrapped(ctx: click.Context, /, **values: Any) -> Any:
        ctx.meta[_DETAILED] = True
        return ctx.invoke(command, **values)

    return wrapped  # type: ignore[return-value]


def engine_options(command: Command) -> Command:
    """-m, --device, --dtype, --bits and their kin; passes `engine`, which opens when it is asked to."""
    return _engine_options(command, cache_prompt=False)


def caching_engine_options(command: Command) -> Command:
    """`engine_options` of a command whose prompts are often alike: they are kept unless it is told otherwise."""
    return _engine_options(command, cache_prompt=True)


def _engine_options(command: Command, cache_prompt: bool) -> Command:
    options = [
        click.option("-m", "--model", metavar="REF", shell_complete=complete_checkpoints,
                     help="Checkpoint: a short name, a hub id, a folder or a .gguf file."),
        click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                     help="Precision to compute in."),
        click.option("--bits", type=click.Choice(["8", "4"]), help="Keep the weights in so many bits each."),
        click.option("--context", metavar="N", type=click.IntRange(1), help="Most tokens of prompt and answer."),
        click.option("--low-memory", is_flag=True, help="Make no faster copies of the weights."),
        click.option("--cache-prompt/--no-cache-prompt", default=cache_prompt, show_default=cache_prompt,
                     help="Keep a long prompt's work on disk for the next command."),
        click.option("--offline", is_flag=True, help="Use what is on this machine; make no request."),
        click.option("--trust-remote-code", is_flag=True, help="Run the code a checkpoint brings with it."),
    ]  # fmt: skip

    @click.pass_context
    @wraps(command)
    def wrapped(ctx: click.Context, /, **values: Any) -> Any:
        from lmcli.commands._engine import EngineChoice
        from lmcli.types import LoadOptions

        flags = {name: values.pop(name) for name in ("model", "device", "dtype", "offline")}
        bits, draft = values.pop("bits"), values.pop("draft", None)
        options = LoadOptions(
            bits=int(bits) if bits else None,
            **{name: values.pop(name) for name in ("context", "low_memory", "trust_remote_code", "cache_prompt")},
        )
        return ctx.invoke(command, engine=EngineChoice(ctx.obj, flags, options, draft), **values)

    return reduce(lambda inner, option: option(inner), reversed(options), wrapped)  # type: ignore[return-value]


def draft_option(command: Command) -> Command:
    """--draft, below `engine_options`, for commands that write; it goes with `engine`."""
    option = click.option("--draft", metavar="REF", shell_complete=complete_checkpoints,
                          help="Smaller checkpoint that guesses ahead.")  # fmt: skip
    return option(command)


def sampling_options(temperature: float, top_p: float = 1.0) -> Callable[[Command], Command]:
    """--temperature and --top-p (with the command's defaults) and their kin; passes `params`."""
    takes = {name: _Sampling(name) for name in PARAMETERS}
    options = [
        click.option("--max-tokens", metavar="N", type=takes["max_tokens"], help="Longest answer, in tokens."),
        click.option("--temperature", metavar="T", type=takes["temperature"], default=temperature,
                     show_default=True, help="0 is greedy."),
        click.option("--top-k", metavar="K", type=takes["top_k"], default=0, help="Draw from the K likeliest tokens."),
        click.option("--top-p", metavar="P", type=takes["top_p"], default=top_p,
                     show_default=True, help="Draw from the likeliest mass P, 0 to 1."),
        click.option("--min-p", metavar="P", type=takes["min_p"], default=0.0,
                     help="Least share of the likeliest token, 0 to 1."),
        click.option("--repetition-penalty", metavar="R", type=takes["repetition_penalty"], default=1.0,
                     help="Above 1 discourages tokens already seen."),
        click.option("--stop", metavar="TEXT", multiple=True, callback=_without_empty,
                     help="End before TEXT; may be given several times."),
        click.option("--seed", metavar="N", type=takes["seed"], help="The same seed draws the same answer."),
    ]  # fmt: skip

    def decorate(command: Command) -> Command:
        @click.pass_context
        @wraps(command)
        def wrapped(ctx: click.Context, /, **values: Any) -> Any:
            from lmcli.types import SamplingParams

            names = SamplingParams.__dataclass_fields__.keys() & values.keys()
            params = SamplingParams(**{name: values.pop(name) for name in names})
            return ctx.invoke(command, params=params, **values)

        return reduce(lambda inner, option: option(inner), reversed(options), wrapped)  # type: ignore[return-value]

    return decorate


def schema_option(command: Command) -> Command:
    """--schema, above `sampling_options`; it goes into `params`."""
    return _schema(_with_grammar(command))


def grammar_options(command: Command) -> Command:
    """--schema, --regex and --grammar, above `sampling_options`; they go into `params`."""
    options = [
        _schema,
        click.option("--regex", metavar="PATTERN", help="Answer with a text that PATTERN matches as a whole."),
        click.option("--grammar", metavar="FILE", help="Answer by the grammar in FILE, in Lark's notation."),
    ]
    return reduce(lambda inner, option: option(inner), reversed(options), _with_grammar(command))


_schema = click.option("--schema", metavar="FILE", help="Answer with JSON that the JSON schema in FILE allows.")


def _with_grammar(command: Command) -> Command:
    @click.pass_context
    @wraps(command)
    def wrapped(ctx: click.Context, /, **values: Any) -> Any:
        given = {name: values.pop(name, None) for name in ("schema", "regex", "grammar")}
        given = {f"--{name}": value for name, value in given.items() if value is not None}
        if given:
            from lmcli.commands._grammar import read_grammar

            values["grammar"] = read_grammar(given, values.get("stop", ()))
        return ctx.invoke(command, **values)

    return wrapped  # type: ignore[return-value]


class _Sampling(click.ParamType):
    """A sampling parameter, read as the chat's /set reads it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return PARAMETERS[self.name].read(str(value))
        except ValueError:
            self.fail(f"it takes {PARAMETERS[self.name].takes}, not '{value}'", param, ctx)


def _without_empty(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Every answer begins with the empty text, so as a stop text it is passed over."""
    return tuple(text for text in texts if text)


class Lengths(click.ParamType):
    """Numbers of tokens with commas between them."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            lengths = tuple(int(part) for part in value.split(","))
        except ValueError:
            lengths = ()
        if not lengths or min(lengths) < 1:
            self.fail(f"it takes whole numbers from 1 with commas between them, not '{value}'", param, ctx)
        return lengths


def files_argument(command: Command) -> Command:
    """FILE…, or standard input, and records; passes `documents`, whose beginning is read before a checkpoint is."""
    return _inputs(click.argument("names", nargs=-1, metavar="[FILE]...", type=click.Path()), command)


def texts_argument(command: Command) -> Command:
    """TEXT… or FILE…, or standard input, records and --lines; passes `documents`."""
    lines = click.option("--lines", is_flag=True, help="Each line is a text of its own; blank lines are left out.")
    return _inputs(click.argument("names", nargs=-1, metavar="[TEXT|FILE]..."), lines(command), inline=True)


def _inputs(argument: Callable[[Any], Any], command: Command, inline: bool = False) -> Command:
    @argument
    @click.option("--field", metavar="NAME", help="Read records of JSONL, CSV or TSV, whose field NAME is the text.")
    @click.option("--into", metavar="NAME", help="Field of a record that its answer goes to.")
    @click.option("--encoding", metavar="NAME", callback=_encoding,
                  help="Encoding of the files, such as latin-1 or gbk; found out from the text.")  # fmt: skip
    @click.option("--resume", metavar="OUT", type=click.Path(), help="Add to the file OUT the answers it lacks.")
    @click.pass_context
    @wraps(command)
    def wrapped(
        ctx: click.Context, /, names: tuple[str, ...], field: str | None, into: str | None, resume: str | None,
        encoding: str | None, lines: bool = False, **rest: Any,
    ) -> Any:  # fmt: skip
        from lmcli.text.inputs import Wish, read_inputs

        want_input(ctx, names)
        wish = Wish(field, into, resume, lines, bool(rest.get("json_") or rest.get("jsonl")), inline, encoding)
        return ctx.invoke(command, documents=read_inputs(names, ctx.obj.stdin, wish), **rest)

    return wrapped


def _encoding(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from lmcli.text.encodings import known

    return known(value) if value else None


def column_options(command: Command) -> Command:
    """--text-field and its kin, --from and --to: where in a file of examples their parts are, and in which language."""
    options = [
        click.option("--text-field", metavar="NAME", help="The column of the texts."),
        click.option("--answer-field", metavar="NAME", help="The column of labels, translations, summaries, answers."),
        click.option("--second-field", metavar="NAME", help="The column of the other text of a pair."),
        click.option("--from", "source", metavar="LANG", callback=_language, help="Language of the texts."),
        click.option("--to", "target", metavar="LANG", callback=_language, help="Language of the translations."),
    ]
    return reduce(lambda inner, option: option(inner), reversed(options), command)


def _language(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from lmcli.text.language import parse

    return parse(value) if value else None


def prompt_argument(command: Command) -> Command:
    """[PROMPT], and below it the text on standard input; passes `prompt`."""

    @click.argument("prompt", required=False)
    @click.pass_context
    @wraps(command)
    def wrapped(ctx: click.Context, /, prompt: str | None, **rest: Any) -> Any:
        from lmcli.text.documents import read_prompt

        want_input(ctx, [prompt] if prompt else [])
        return ctx.invoke(command, prompt=read_prompt(prompt, ctx.obj.stdin), **rest)

    return wrapped  # type: ignore[return-value]


def question_argument(command: Command) -> Command:
    """QUESTION, then as `files_argument`; passes `question` and `documents`."""

    @click.argument("question", required=False)
    @click.pass_context
    @wraps(command)
    def wrapped(ctx: click.Context, /, question: str | None, **rest: Any) -> Any:
        asked = (question or "").strip()
        if not asked:
            if not rest["names"]:
                want_input(ctx, ())
            raise click.UsageError("the question is missing", ctx)
        return ctx.invoke(command, question=asked, **rest)

    return wrapped  # type: ignore[return-value]


quote_option = click.option(
    "--quote", is_flag=True, expose_value=False, callback=lambda ctx, option, on: ctx.meta.update({_QUOTE: on}),
    help="Show in a pipe too which sentence bears the answer out.",
)  # fmt: skip


def want_input(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Show the help where a person would otherwise wonder what the program waits for."""
    if not arguments and ctx.obj.stdin.isatty():
        raise click.exceptions.NoArgsIsHelpError(ctx)


def complete_checkpoints(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Catalogue and cached names that begin with `incomplete`, for the shell's completion."""
    from lmcli.checkpoints import names
    from lmcli.environment import Environment

    environment = ctx.find_object(Environment)
    variables = environment.variables if environment else None
    return [name for name in names(variables) if name.startswith(incomplete)]
