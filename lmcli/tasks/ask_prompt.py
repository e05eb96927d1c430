"""The prompt for a question about a text: the text first, so that the next question about it reads only itself."""

from __future__ import annotations

import unicodedata

from lmcli.text.language import identify, language
from lmcli.types import Conversation, Prompt

NOT_FOUND = {"en": "The text does not say.", "zh": "文中没有提到。"}


def ask(text: str, question: str, instruct: bool) -> Prompt:
    """The prompt for an answer to `question` out of `text`, in the language of the question."""
    code = identify(question)
    chinese = code in {"zh", "zh-Hant"}
    if not instruct:
        return f"{text}\n\n问题：{question}\n答案：" if chinese else f"{text}\n\nQuestion: {question}\nAnswer:"
    quoted = f'"""\n{text}\n"""\n\n'
    if chinese:
        script = "繁体中文" if code == "zh-Hant" else "中文"
        how = f"根据上面的文本，用{script}简短地回答问题。如果文本中没有答案，就写“{NOT_FOUND['zh']}”"
        return Conversation.ask(f"文本：\n{quoted}{how}\n\n问题：{question}")
    tongue = f", in {language(code).name}" if code and code != "en" else ""
    how = f"Answer the question from the text above in a few words{tongue}."
    declined = f'If the text does not hold the answer, write "{NOT_FOUND["en"]}"'
    return Conversation.ask(f"Text:\n{quoted}{how} {declined}\n\nQuestion: {question}")


def declines(answer: str) -> bool:
    """Whether the answer says, as the prompt told it to, that the text holds none."""
    said = _bare(answer)
    return any(said.startswith(_bare(phrase)) for phrase in NOT_FOUND.values())


def _bare(text: str) -> str:
    """Letters alone, in lower case."""
    return "".join(c for c in text.casefold() if unicodedata.category(c)[0] in "LN")
