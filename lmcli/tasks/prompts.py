"""Prompts: what an instruct checkpoint is told, and a base checkpoint is given to continue, for each task.

The instruction stands below the text, where a small checkpoint still has it in view when it begins to answer, and
the text stands between quotation marks so that what it says is not taken for an instruction.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmcli.tasks.summary_form import SummaryForm
from lmcli.text.language import language
from lmcli.types import Conversation, Prompt


def summary(text: str, form: SummaryForm, instruct: bool) -> Prompt:
    """The prompt for a summary of `text`."""
    chinese = form.language in {"zh", "zh-Hant"}
    if not instruct:
        return f"{text}\n\n{_opening(form, chinese)}"
    quoted = f'"""\n{text}\n"""\n\n'
    if chinese:
        return Conversation.ask(f"文本：\n{quoted}{_summary_in_chinese(form)}")
    about = f" what this text says about {form.focus}" if form.focus else " this text"
    # A model answers in the language it is asked in, unless it is told.
    foreign = form.language and (form.language != "en" or form.source != "en")
    tongue = f" in {language(form.language).name}" if form.language and foreign else ""
    if form.layout == "headline":
        return Conversation.ask(
            f"Text:\n{quoted}Write one headline for{about}{tongue}, of at most {form.words} words. "
            "Write only the headline.\n\nHeadline:"
        )
    return Conversation.ask(
        f"Text:\n{quoted}Summarize{about}{tongue} {_how(form)}. Write only the summary.\n\nSummary:"
    )


def _how(form: SummaryForm) -> str:
    """Its length and layout. A small model keeps to a number of sentences better than to one of words."""
    if form.layout == "bullets":
        count = form.sentences or max(2, round(form.words / 15))
        return f"as a list of {count} short bullet points, each on its own line and beginning with '- '"
    count = form.sentences or max(1, round(form.words / 25))
    phrase = f"in {count} sentence{'s' if count > 1 else ''}"
    if form.size.unit == "characters":
        return f"{phrase}, about {form.size.amount} characters"
    return phrase if form.sentences else f"{phrase}, about {form.words} words"


def _summary_in_chinese(form: SummaryForm) -> str:
    script = "繁体中文" if form.language == "zh-Hant" else "中文"
    about = f"上面的文本中关于“{form.focus}”的内容" if form.focus else "上面的文本"
    if form.layout == "headline":
        return f"请用{script}为{about}写一个标题，不超过{form.words}个字。只写标题。\n\n标题："
    length = f"共{form.sentences}个要点" if form.sentences else f"共约{form.words}个字"
    if form.layout == "bullets":
        how = f"写成要点列表，每个要点一行，以“- ”开头，{length}"
    else:
        how = f"写{form.sentences}句话" if form.sentences else f"约{form.words}个字"
    return f"请用{script}概括{about}，{how}。只写摘要，不要添加原文没有的内容。\n\n摘要："


def _opening(form: SummaryForm, chinese: bool) -> str:
    """What a base checkpoint continues."""
    headline = form.layout == "headline"
    if chinese:
        about = f"关于“{form.focus}”的" if form.focus else ""
        return f"{about}{'标题' if headline else '摘要'}："
    foreign = form.language and form.language != form.source
    tongue = f" in {language(form.language).name}" if form.language and foreign else ""
    about = f" of what it says about {form.focus}" if form.focus else ""
    return f"{'Headline' if headline else 'Summary'}{about}{tongue}:"


def translation(
    sentence: str, source: str, target: str, instruct: bool, markers: Sequence[str] = (), firmly: bool = False
) -> Prompt:
    """The prompt for the translation of one sentence; `source` and `target` are codes.

    `markers` in the sentence are to be kept. `firmly` asks in other words, where the plain ones have failed.
    """
    into, out_of = language(target).name, language(source).name
    if not instruct:
        return f"{out_of}: {sentence}\n{into}:"
    keep = f" Keep {', '.join(markers)} as {'they are' if len(markers) > 1 else 'it is'}." if markers else ""
    if firmly:
        return Conversation.ask(f"How does one say this in {into}? Answer in {into} alone.{keep}\n\n{sentence}")
    return Conversation.ask(
        f"Translate this {out_of} sentence into {into}. Write only the translation.{keep}\n\n"
        f"{out_of}: {sentence}\n{into}:"
    )


# How a label is written after the sentiment prompt.
SENTIMENT_LABELS = {"positive": " positive", "negative": " negative", "neutral": " neutral"}
# Texts of each sentiment alike often (batch calibration, Zhou et al. 2023, arXiv:2309.17249): what a label is likely
# behind them on average it owes to being a frequent word. Behind neutral texts alone, neutral would owe them too much.
SENTIMENT_REFERENCES = (
    "I love it, it works very well.", "A charming and moving film.", "Thanks so much, that made my day!",
    "很好吃，下次还会再来。",
    "I hate it, it does not work at all.", "A dull and pointless film.", "That is so sad, I am sorry.",
    "太难吃了，非常失望。",
    "The meeting is on Wednesday at ten.", "The film is set in Paris in the twenties.", "What time does it open?",
    "这家店在地铁站旁边。",
)  # fmt: skip
SENTIMENT_HYPOTHESES = {label: f"The sentiment of this text is {label}." for label in SENTIMENT_LABELS}
_SENTIMENT_EXAMPLES = """\
Texts and their sentiment: positive, negative or neutral.

Text: The food was wonderful and the staff were kind.
Sentiment: positive

Text: The shop opens at nine and closes at six.
Sentiment: neutral

Text: It broke after two days and nobody answered my mails.
Sentiment: negative

Text: 质量非常好，我很喜欢。
Sentiment: positive

Text: 会议将于星期三下午举行。
Sentiment: neutral

Text: 这家店的服务很差，再也不会来了。
Sentiment: negative
"""


def sentiment(text: str) -> str:
    """The prompt after which the likelihoods of the labels are compared.

    Examples to be continued, for instruct checkpoints too: small ones judge better so than when they are asked.
    """
    return f"{_SENTIMENT_EXAMPLES}\nText: {' '.join(text.split())}\nSentiment:"


# Texts that say nothing (Zhao et al. 2021): what a label is likely behind them it owes to its words alone.
EMPTY = ("N/A", "", "[MASK]")
TRUE_OR_FALSE = (" true", " false")
_HYPOTHESIS, _CHINESE_HYPOTHESIS = "This text is about {label}.", "这段文字是关于{label}的。"


def hypothesis(labels: Sequence[str]) -> str:
    """The sentence that says of a text what it is, with {label} in it, in the language of the labels."""
    return _CHINESE_HYPOTHESIS if all(map(_is_chinese, labels)) else _HYPOTHESIS


def classification(labels: Sequence[str], form: str | None) -> tuple[str, list[str]]:
    """How the sentence `form` begins, and how each label goes on from there.

    No prompt lists the labels: small models would choose by the order in which they stand there.
    """
    before = (form or hypothesis(labels)).partition("{label}")[0].rstrip()
    joint = "" if not before or _is_chinese(before[-1]) else " "
    return before, [joint + label for label in labels]


def labelled(text: str, before: str) -> str:
    """The prompt after which the likelihoods of the labels are compared, up to the label itself."""
    return f"Text: {' '.join(text.split())}\n{before}"


def statement(text: str, said: str) -> str:
    """The prompt after which it is compared how likely it is that what is `said` about the text is true or false."""
    return f"Text: {' '.join(text.split())}\nStatement: {said}\nTrue or false? The statement is"


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= sign <= "\u9fff" for sign in text)
