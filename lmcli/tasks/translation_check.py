"""What a translation can be seen to lack: nothing came, the source came back, it goes round in circles, it is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lmcli.text.language import identify, language

# Characters for what English says in 100, from the median of translated pairs (Tatoeba, Microsoft's documentation);
# a single sentence was never three times as long or a quarter as long as its language's median.
_PER_100 = {"zh": 33, "zh-Hant": 33, "ja": 45, "ko": 50}
_TOO_LONG, _TOO_SHORT = 3.0, 0.25
_SLACK = 30  # characters, for the shortest
_SHORTEST = 60  # characters of English that cannot become nothing
_TURNS = 4  # times the same words in a row
_SURE = 40  # letters that tell a Latin language for certain
# Languages that identification takes for one another.
_KIN = (
    {"zh", "zh-Hant"}, {"no", "da", "sv"}, {"hr", "bs", "sr", "sl"}, {"id", "ms"}, {"cs", "sk"}, {"fa", "ar", "ur"},
    {"gl", "pt", "es", "ca"}, {"ru", "uk", "be", "bg", "mk", "sr"}, {"hi", "mr", "ne"}, {"nl", "af"}, {"et", "fi"},
)  # fmt: skip
_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")
_LOWER_WORD = re.compile(r"\b[^\W\d_A-Z]{3,}\b")


@dataclass(frozen=True)
class TranslationCheck:
    """Judges answers to sentences of `source` in `target`, codes of lmcli.text.language."""

    source: str
    target: str

    def flaw(self, sentence: str, answer: str) -> str:
        """What is plainly wrong with `answer`, in a few words; empty where nothing is."""
        if not answer.strip():
            return "nothing came"
        if _circles(answer) >= _TURNS > _circles(sentence):
            return "it repeats itself"
        if self._echoes(sentence, answer):
            return "the source came back"
        expected = len(sentence) * _PER_100.get(self.target, 100) / _PER_100.get(self.source, 100)
        if len(answer) > _TOO_LONG * expected + _SLACK:
            return "it is far too long"
        if len(sentence) * 100 / _PER_100.get(self.source, 100) > _SHORTEST and len(answer) < _TOO_SHORT * expected:
            return "it is far too short"
        return self._foreign(sentence, answer)

    def _echoes(self, sentence: str, answer: str) -> bool:
        """Whether the source came back; a name or a title is the same in many languages."""
        if _bare(sentence) != _bare(answer) or self._kin(self.source):
            return False
        if not language(self.source).spaced:
            return not {"ja", "zh", "zh-Hant"} >= {self.source, self.target} or len(sentence) > 8
        if language(self.source).script != language(self.target).script:
            return len(_LOWER_WORD.findall(sentence)) >= 2
        return len(_LOWER_WORD.findall(sentence)) >= 4

    def _foreign(self, sentence: str, answer: str) -> str:
        letters = sum(c.isalpha() for c in answer)
        if letters < _SURE // 4:
            return ""
        found = identify(answer)
        if found is None or found == self.target or self._kin(found):
            return ""
        script = language(found).script
        if script == "Latn":
            # Half of it may be names; a language that both halves are in is the one it is in.
            halves = {identify(answer[: len(answer) // 2]), identify(answer[len(answer) // 2 :])}
            if letters < _SURE or halves != {found} or len(_LOWER_WORD.findall(answer)) < 5:
                return ""
        return f"it is {language(found).name}" if found != identify(sentence) or found == self.source else ""

    def _kin(self, code: str) -> bool:
        return any({code, self.target} <= kin for kin in _KIN)


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(".,;:!?…。！？，；：\"'“”‘’ ")


def _circles(text: str) -> int:
    """How often at most the same one to twelve words (or characters, of Chinese) stand in a row."""
    units, most = _UNIT.findall(text.casefold()), 1
    for size in range(1, min(12, len(units) // _TURNS) + 1):
        run = 0
        for n in range(size, len(units)):
            run = run + 1 if units[n] == units[n - size] else 0
            # One word four times is emphasis: very very very very.
            most = max(most, (run // size + 1) // (2 if size == 1 else 1))
    return most
