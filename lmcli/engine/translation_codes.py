"""How each family of translation checkpoints is told its languages: codes, prefixes and forced first tokens."""

from __future__ import annotations

import re
from typing import Any

from lmcli.errors import UsageError
from lmcli.text.language import LANGUAGES, Language, language


class TranslationCodes:
    """The languages of one checkpoint and how to ask for them.

    Sources: the model cards of Helsinki-NLP/opus-mt (one pair, or `>>code<<` before the text), NLLB-200 (FLORES
    codes), M2M100 (ISO codes), mBART-50 (locales) and T5 (a sentence before the text).
    """

    def __init__(self, name: str, config: Any, tokenizer: Any) -> None:
        self._name, self._config, self._tokenizer = name, config, tokenizer
        self._vocabulary = tokenizer.get_vocab()
        self._marks = [code for code in self._vocabulary if re.fullmatch(r">>[\w-]+<<", code)]
        self._scheme = self._find_scheme()
        self.languages = self._find_languages()

    def select(self, source: str | None, target: str | None) -> tuple[str, int | None]:
        """What to put before each text and which token to force first, for ISO codes `source` and `target`.

        Tells the tokenizer its source language where it needs to know. Raises UsageError for a language that the
        checkpoint does not translate from or into.
        """
        if target is None:
            return self._task_prefix("summarization"), None
        self._check(source, target)
        from_, to = language(source or "en"), language(target)
        if self._scheme in ("nllb", "mbart", "m2m"):
            self._tokenizer.src_lang = getattr(from_, self._scheme)
            return "", self._vocabulary[self._token(to)]
        if self._scheme == "marks":
            return f"{self._mark(to)} ", None
        if self._scheme == "prefix":
            known = self._task_prefix(f"translation_{from_.code}_to_{to.code}")
            return known or f"translate {from_.name} to {to.name}: ", None
        return "", None

    def _find_scheme(self) -> str:
        if self._config.model_type == "marian":
            return "marks" if self._marks else "pair"
        if "eng_Latn" in self._vocabulary:
            return "nllb"
        if "en_XX" in self._vocabulary:
            return "mbart"
        if "__en__" in self._vocabulary or self._config.model_type == "m2m_100":
            return "m2m"
        return "prefix" if self._config.model_type in ("t5", "mt5", "umt5") else "none"

    def _find_languages(self) -> tuple[str, ...]:
        if self._scheme in ("nllb", "mbart", "m2m"):
            return tuple(each.code for each in LANGUAGES if self._token(each) in self._vocabulary)
        if self._scheme == "marks":
            return tuple(each.code for each in LANGUAGES if self._mark(each))
        if self._scheme == "pair":
            to = _named(getattr(self._tokenizer, "target_lang", None))
            return (to,) if to else ()
        tasks = getattr(self._config, "task_specific_params", None) or {}
        return tuple(dict.fromkeys(task.rpartition("_")[2] for task in tasks if task.startswith("translation_")))

    def _check(self, source: str | None, target: str) -> None:
        if self.languages and target not in self.languages:
            known = ", ".join(self.languages)
            raise UsageError(f"{self._name} does not translate into {language(target).name}", f"it knows {known}")
        only = _named(getattr(self._tokenizer, "source_lang", None)) if self._scheme == "pair" else None
        if source and only and source.partition("-")[0] != only:
            raise UsageError(
                f"{self._name} translates from {language(only).name}, not from {language(source).name}",
                "choose another checkpoint with -m: lmcli list --all",
            )
        if (
            self._scheme in ("nllb", "mbart", "m2m")
            and source
            and self._token(language(source)) not in self._vocabulary
        ):
            raise UsageError(f"{self._name} does not translate from {language(source).name}", "choose another with -m")

    def _token(self, of: Language) -> str:
        code = getattr(of, self._scheme)
        return f"__{code}__" if self._scheme == "m2m" else str(code)

    def _mark(self, of: Language) -> str | None:
        """Marian's mark for a language: `>>deu<<`, `>>de<<`, `>>cmn_Hans<<`; Mandarin stands for Chinese."""
        three, _, script = of.nllb.partition("_")
        names = [*(["cmn"] if three == "zho" else []), three, of.code]
        forms = [f">>{name}_{script}<<" for name in names] + [f">>{name}<<" for name in names]
        return next((form for form in forms if form in self._marks), None)

    def _task_prefix(self, task: str) -> str:
        tasks = getattr(self._config, "task_specific_params", None) or {}
        prefix: str = tasks.get(task, {}).get("prefix", "")
        return prefix


def _named(code: str | None) -> str | None:
    """The ISO 639-1 code for what a Marian tokenizer calls its language: `en`, `eng`, `zho`, `cmn_Hans`."""
    if not code:
        return None
    short = {"cmn": "zho"}.get(code[:3].lower(), code.split("_")[0].lower())
    return next((each.code for each in LANGUAGES if short in (each.code, each.nllb[:3])), None)
