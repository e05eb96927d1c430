"""How each family of translation checkpoints is told its languages: codes, prefixes and forced first tokens."""

from __future__ import annotations

import re
from typing import Any

from lmcli.errors import UsageError
from lmcli.text.language import LANGUAGES, Language, language

# ISO 639-3 macrolanguages, where FLORES names the standard variety.
_MACRO = {
    "zh": "cmn", "zh-Hant": "cmn", "ar": "ara", "fa": "fas", "lv": "lav", "az": "aze", "mn": "mon", "sq": "sqi",
    "sw": "swa", "ne": "nep", "ms": "msa", "no": "nor", "tl": "fil",
}  # fmt: skip
_CODED = ("nllb", "mbart", "m2m")  # A token for each language; the schemes are named as in `Language`.
_MARK = re.compile(r">>[\w-]+<<|<2[\w-]+>")
# What a config's task_specific_params may set, by transformers' former pipelines.
_OPTIONS = {"num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "min_length", "max_length"}


class TranslationCodes:
    """The languages of one checkpoint and how to ask for them.

    Sources: the model cards of Helsinki-NLP/opus-mt (one pair, or `>>code<<` before the text), MADLAD-400 (`<2code>`
    before it), NLLB-200 (FLORES codes), M2M100 (ISO codes), mBART-50 (locales) and T5 (a sentence before the text).
    """

    def __init__(self, name: str, config: dict[str, Any], tokenizer: Any) -> None:
        self._name, self._config, self._tokenizer = name, config, tokenizer
        self._marks = {token for token in tokenizer.get_vocab() if _MARK.fullmatch(token)}
        self._tasks: dict[str, dict[str, Any]] = config.get("task_specific_params") or {}
        self._scheme = self._find_scheme()
        self._source, self._target = (
            _named(getattr(tokenizer, f"{end}_lang", None)) if config["model_type"] == "marian" else None
            for end in ("source", "target")
        )
        self.languages = self._find_languages()

    def select(self, source: str | None, target: str | None) -> tuple[str, dict[str, Any]]:
        """What to put before each text, and the options of `generate`, for ISO codes `source` and `target`.

        Tells the tokenizer its source language where it needs to know. Without a target the text is to be summarized.
        Raises UsageError for a language that the checkpoint does not translate from or into.
        """
        if target is None:
            return self._task("summarization")
        if source == "zh-Hant" and source not in self.languages:
            source = "zh"  # Where one code stands for both ways of writing.
        self._check(source, target)
        from_, to = language(source or self._source or "en"), language(target)
        if self._scheme in _CODED:
            self._tokenizer.src_lang = getattr(from_, self._scheme)
            return "", {self._first_token(): self._token_id(to)}
        if self._scheme == "marks":
            return f"{self._mark(to)} ", {}
        prefix, options = self._task(f"translation_{from_.code}_to_{to.code}")
        if self._scheme == "prefix":
            prefix = prefix or f"translate {from_.name} to {to.name}: "
        return prefix, options

    @property
    def asks_for_target(self) -> bool:
        """Whether nothing can be written without a language being named."""
        return self._scheme in (*_CODED, "marks")

    @property
    def prefix_length(self) -> int:
        """Tokens of the longest prefix that `select` may put before a text."""
        if self._scheme != "prefix":
            return int(self._scheme == "marks")
        names = sorted((each.name for each in LANGUAGES), key=len)[-1]
        prefixes = [f"translate {names} to {names}: ", *(task.get("prefix", "") for task in self._tasks.values())]
        return max(len(self._tokenizer.tokenize(prefix)) for prefix in prefixes)

    def _find_scheme(self) -> str:
        if self._marks:
            return "marks"
        if isinstance(getattr(type(self._tokenizer), "src_lang", None), property):
            return next((scheme for scheme in _CODED if self._token_id(language("en"), scheme) is not None), "none")
        if self._config["model_type"] in ("t5", "mt5", "umt5"):
            return "prefix"
        return "pair" if self._config["model_type"] in ("marian", "fsmt", "encoder-decoder") else "none"

    def _find_languages(self) -> tuple[str, ...]:
        if self._scheme in _CODED:
            return tuple(each.code for each in LANGUAGES if self._token_id(each) is not None)
        if self._scheme == "marks":
            return tuple(each.code for each in LANGUAGES if self._mark(each))
        if self._target:
            return (self._target,)
        return tuple(dict.fromkeys(target for _, target in self._pairs()))

    def _check(self, source: str | None, target: str) -> None:
        if self._scheme == "none":
            raise UsageError(f"{self._name} does not translate", "choose a checkpoint for translation with -m")
        if self.languages and target not in self.languages:
            known = ", ".join(self.languages)
            raise UsageError(f"{self._name} does not translate into {language(target).name}", f"it knows {known}")
        sources = self._sources(target)
        if source and sources and source not in sources:
            raise UsageError(
                f"{self._name} does not translate from {language(source).name} into {language(target).name}",
                f"it translates from {', '.join(sources)}",
            )

    def _sources(self, target: str) -> tuple[str, ...]:
        """The languages it translates from into `target`; empty where it does not say."""
        if self._scheme in _CODED:
            return self.languages
        if self._source:
            return (self._source,)
        return tuple(source for source, to in self._pairs() if to == target)

    def _pairs(self) -> list[tuple[str, str]]:
        names = (re.fullmatch(r"translation_(\w+)_to_(\w+)", task) for task in self._tasks)
        return [(name[1], name[2]) for name in names if name and self._scheme == "prefix"]

    def _token_id(self, of: Language, scheme: str | None = None) -> int | None:
        """The token of a language, None where the checkpoint has none for it."""
        code = getattr(of, scheme or self._scheme)
        if code is None:
            return None
        token = f"__{code}__" if (scheme or self._scheme) == "m2m" else code
        # Not every tokenizer lists its languages in its vocabulary; all of them know their tokens.
        found: int = self._tokenizer.convert_tokens_to_ids(token)
        return None if found == self._tokenizer.unk_token_id else found

    def _first_token(self) -> str:
        """The option that names the language: the first mBART (25 languages) starts with it, the others begin with it
        behind their start token."""
        start = self._config.get("decoder_start_token_id")
        languages = {self._token_id(each) for each in LANGUAGES} - {None}
        return "decoder_start_token_id" if start in languages else "forced_bos_token_id"

    def _mark(self, of: Language) -> str | None:
        """The mark for a language: `>>deu<<`, `>>de<<`, `>>cmn_Hans<<`, `<2de>`."""
        names = [*([_MACRO[of.code]] if of.code in _MACRO else []), *_codes(of)]
        forms = [f">>{name}_{of.script}<<" for name in names]
        if of.code != "zh-Hant":  # A mark without a script stands for the usual one.
            forms += [form for name in names for form in (f">>{name}<<", f"<2{name}>")]
        return next((form for form in forms if form in self._marks), None)

    def _task(self, task: str) -> tuple[str, dict[str, Any]]:
        """The prefix and the options of one task in the config."""
        params = self._tasks.get(task, {})
        return params.get("prefix") or "", {name: value for name, value in params.items() if name in _OPTIONS}


def _codes(of: Language) -> tuple[str, str]:
    return of.nllb.partition("_")[0], of.code


def _named(code: str | None) -> str | None:
    """The ISO 639-1 code for what a Marian tokenizer calls its language: `en`, `eng`, `zho`, `cmn_Hans`."""
    short = (code or "").partition("_")[0].lower()
    return next((each.code for each in LANGUAGES if short in (*_codes(each), _MACRO.get(each.code))), None)
