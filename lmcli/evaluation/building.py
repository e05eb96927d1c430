"""Building: the evaluator of a task for a set of examples, with what the set itself does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lmcli.data.examples import Example
from lmcli.errors import UsageError
from lmcli.evaluation.evaluators import Evaluator
from lmcli.evaluation.evaluators.ask import AskEvaluator
from lmcli.evaluation.evaluators.choose import CONTINUED, QUESTION, ChooseEvaluator
from lmcli.evaluation.evaluators.generate import GenerateEvaluator
from lmcli.evaluation.evaluators.labels import ClassifyEvaluator, SentimentEvaluator, sentiment_names
from lmcli.evaluation.evaluators.score import ScoreEvaluator
from lmcli.evaluation.evaluators.summarize import SummarizeEvaluator
from lmcli.evaluation.evaluators.translate import TranslateEvaluator
from lmcli.evaluation.inputs import Inputs, sample
from lmcli.tasks.summarize import Summarize
from lmcli.tasks.summary_form import Layout, Length
from lmcli.text.language import identify
from lmcli.types import SamplingParams

# Columns of texts that are to be continued, as HellaSwag's are; all others hold questions.
_CONTINUED = {"ctx", "context", "text", "sentence", "prompt", "input"}
_SAMPLE = 20  # texts that tell the language of a set


@dataclass(frozen=True)
class Choices:
    """How the task is to be done, as the user chose it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    length: Length = "medium"
    layout: Layout = "paragraph"
    prompt: str | None = None
    window: int | None = None
    stride: int | None = None
    max_tokens: int | None = None


def evaluator(inputs: Inputs, choices: Choices, limit: int | None = None, seed: int = 0) -> Evaluator:
    """The evaluator of the examples, at most `limit` of them. Raises UsageError where it needs to know more."""
    examples = sample(inputs.examples, limit, seed)
    params = SamplingParams(max_tokens=choices.max_tokens)
    match inputs.task:
        case "sentiment":
            return SentimentEvaluator(examples, _sentiments(inputs.examples))
        case "classify":
            # Those of all examples: of a few a label may be missing.
            own = dict.fromkeys(sorted({example.answer for example in inputs.examples}))
            return ClassifyEvaluator(examples, choices.labels or {label: label for label in own})
        case "score":
            return ScoreEvaluator(examples)
        case "translate":
            return TranslateEvaluator(examples, *_languages(inputs), params)
        case "summarize":
            how = Summarize(choices.length, layout=choices.layout, params=params)
            return SummarizeEvaluator(examples, how, _spoken([example.answer for example in examples]))
        case "ask":
            chinese = (_spoken([example.second or "" for example in examples]) or "").startswith("zh")
            return AskEvaluator(examples, chinese, params)
        case "choose":
            return ChooseEvaluator(examples, choices.prompt or _prompt(inputs))
        case "generate":
            return GenerateEvaluator(examples, choices.window, choices.stride)


def _sentiments(examples: Sequence[Example]) -> dict[str, str]:
    labels = sorted({example.answer for example in examples})
    names = sentiment_names(labels)
    if names is None:
        raise UsageError(
            f"not all labels are a sentiment: {', '.join(labels[:6])}", "use --task classify, or rename them"
        )  # fmt: skip
    return names


def _languages(inputs: Inputs) -> tuple[str, str]:
    """The one pair of languages of the set."""
    pairs = {example.languages for example in inputs.examples}
    only = pairs.pop() if len(pairs) == 1 else None
    if only is None:
        raise UsageError(f"the columns of {inputs.source} do not tell from which language into which it translates",
                         "say so: --from en --to zh")  # fmt: skip
    return only


def _spoken(texts: Sequence[str]) -> str | None:
    """The language of a set, by its first texts."""
    return identify("\n".join(texts[:_SAMPLE]))


def _prompt(inputs: Inputs) -> str:
    columns = {(one.text or "").casefold() for one in inputs.columns.values()}
    return CONTINUED if columns and columns <= _CONTINUED else QUESTION
