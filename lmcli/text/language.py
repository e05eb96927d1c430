"""Languages: their names, their codes in the translation checkpoints, and which one a text is written in."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lmcli.errors import UsageError


@dataclass(frozen=True)
class Language:
    """A language by ISO 639-1 code (`zh-Hant` for traditional Chinese), with its names.

    `nllb` is its FLORES-200 code (Costa-jussà et al. 2022, table 1), `mbart` its mBART-50 code (Tang et al.
    2020, table 1), `m2m` its M2M-100 code (Fan et al. 2020), None where that checkpoint does not know it.
    `spaced` says whether a space stands between words.
    """

    code: str
    name: str
    own_name: str
    nllb: str
    mbart: str | None = None
    m2m: str | None = None
    spaced: bool = True

    @property
    def script(self) -> str:
        """ISO 15924, such as Latn."""
        return self.nllb.partition("_")[2]


def _row(code: str, name: str, own_name: str, nllb: str, mbart: str = "", m2m: str = "=") -> Language:
    return Language(
        code, name, own_name, nllb, mbart or None, code if m2m == "=" else m2m or None,
        spaced=nllb.partition("_")[2] not in {"Hans", "Hant", "Jpan", "Thai", "Mymr", "Khmr", "Laoo"},
    )  # fmt: skip


LANGUAGES = (
    _row("en", "English", "English", "eng_Latn", "en_XX"),
    _row("zh", "Chinese", "中文", "zho_Hans", "zh_CN"),
    _row("zh-Hant", "Traditional Chinese", "繁體中文", "zho_Hant", "", ""),
    _row("ja", "Japanese", "日本語", "jpn_Jpan", "ja_XX"),
    _row("ko", "Korean", "한국어", "kor_Hang", "ko_KR"),
    _row("de", "German", "Deutsch", "deu_Latn", "de_DE"),
    _row("fr", "French", "Français", "fra_Latn", "fr_XX"),
    _row("es", "Spanish", "Español", "spa_Latn", "es_XX"),
    _row("pt", "Portuguese", "Português", "por_Latn", "pt_XX"),
    _row("it", "Italian", "Italiano", "ita_Latn", "it_IT"),
    _row("nl", "Dutch", "Nederlands", "nld_Latn", "nl_XX"),
    _row("ru", "Russian", "Русский", "rus_Cyrl", "ru_RU"),
    _row("uk", "Ukrainian", "Українська", "ukr_Cyrl", "uk_UA"),
    _row("pl", "Polish", "Polski", "pol_Latn", "pl_PL"),
    _row("cs", "Czech", "Čeština", "ces_Latn", "cs_CZ"),
    _row("sk", "Slovak", "Slovenčina", "slk_Latn"),
    _row("sl", "Slovenian", "Slovenščina", "slv_Latn", "sl_SI"),
    _row("hr", "Croatian", "Hrvatski", "hrv_Latn", "hr_HR"),
    _row("bs", "Bosnian", "Bosanski", "bos_Latn"),
    _row("sr", "Serbian", "Српски", "srp_Cyrl"),
    _row("mk", "Macedonian", "Македонски", "mkd_Cyrl", "mk_MK"),
    _row("bg", "Bulgarian", "Български", "bul_Cyrl"),
    _row("be", "Belarusian", "Беларуская", "bel_Cyrl"),
    _row("ro", "Romanian", "Română", "ron_Latn", "ro_RO"),
    _row("hu", "Hungarian", "Magyar", "hun_Latn"),
    _row("el", "Greek", "Ελληνικά", "ell_Grek"),
    _row("tr", "Turkish", "Türkçe", "tur_Latn", "tr_TR"),
    _row("az", "Azerbaijani", "Azərbaycanca", "azj_Latn", "az_AZ"),
    _row("kk", "Kazakh", "Қазақша", "kaz_Cyrl", "kk_KZ"),
    _row("mn", "Mongolian", "Монгол", "khk_Cyrl", "mn_MN"),
    _row("ka", "Georgian", "ქართული", "kat_Geor", "ka_GE"),
    _row("hy", "Armenian", "Հայերեն", "hye_Armn"),
    _row("sv", "Swedish", "Svenska", "swe_Latn", "sv_SE"),
    _row("da", "Danish", "Dansk", "dan_Latn"),
    _row("no", "Norwegian", "Norsk", "nob_Latn"),
    _row("fi", "Finnish", "Suomi", "fin_Latn", "fi_FI"),
    _row("is", "Icelandic", "Íslenska", "isl_Latn"),
    _row("et", "Estonian", "Eesti", "est_Latn", "et_EE"),
    _row("lv", "Latvian", "Latviešu", "lvs_Latn", "lv_LV"),
    _row("lt", "Lithuanian", "Lietuvių", "lit_Latn", "lt_LT"),
    _row("ga", "Irish", "Gaeilge", "gle_Latn"),
    _row("cy", "Welsh", "Cymraeg", "cym_Latn"),
    _row("ca", "Catalan", "Català", "cat_Latn"),
    _row("gl", "Galician", "Galego", "glg_Latn", "gl_ES"),
    _row("eu", "Basque", "Euskara", "eus_Latn", "", ""),
    _row("sq", "Albanian", "Shqip", "als_Latn"),
    _row("eo", "Esperanto", "Esperanto", "epo_Latn", "", ""),
    _row("af", "Afrikaans", "Afrikaans", "afr_Latn", "af_ZA"),
    _row("sw", "Swahili", "Kiswahili", "swh_Latn", "sw_KE"),
    _row("ar", "Arabic", "العربية", "arb_Arab", "ar_AR"),
    _row("fa", "Persian", "فارسی", "pes_Arab", "fa_IR"),
    _row("ur", "Urdu", "اردو", "urd_Arab", "ur_PK"),
    _row("he", "Hebrew", "עברית", "heb_Hebr", "he_IL"),
    _row("hi", "Hindi", "हिन्दी", "hin_Deva", "hi_IN"),
    _row("mr", "Marathi", "मराठी", "mar_Deva", "mr_IN"),
    _row("ne", "Nepali", "नेपाली", "npi_Deva", "ne_NP"),
    _row("bn", "Bengali", "বাংলা", "ben_Beng", "bn_IN"),
    _row("gu", "Gujarati", "ગુજરાતી", "guj_Gujr", "gu_IN"),
    _row("pa", "Punjabi", "ਪੰਜਾਬੀ", "pan_Guru"),
    _row("ta", "Tamil", "தமிழ்", "tam_Taml", "ta_IN"),
    _row("te", "Telugu", "తెలుగు", "tel_Telu", "te_IN", ""),
    _row("kn", "Kannada", "ಕನ್ನಡ", "kan_Knda"),
    _row("ml", "Malayalam", "മലയാളം", "mal_Mlym", "ml_IN"),
    _row("si", "Sinhala", "සිංහල", "sin_Sinh", "si_LK"),
    _row("th", "Thai", "ไทย", "tha_Thai", "th_TH"),
    _row("lo", "Lao", "ລາວ", "lao_Laoo"),
    _row("km", "Khmer", "ខ្មែរ", "khm_Khmr", "km_KH"),
    _row("my", "Burmese", "မြန်မာ", "mya_Mymr", "my_MM"),
    _row("vi", "Vietnamese", "Tiếng Việt", "vie_Latn", "vi_VN"),
    _row("id", "Indonesian", "Bahasa Indonesia", "ind_Latn", "id_ID"),
    _row("ms", "Malay", "Bahasa Melayu", "zsm_Latn"),
    _row("tl", "Filipino", "Filipino", "tgl_Latn", "tl_XX"),
)  # fmt: skip

_BY_CODE = {language.code: language for language in LANGUAGES}
_ALIASES = {
    "zh-hans": "zh", "zh-cn": "zh", "zh-sg": "zh", "cmn": "zh", "mandarin": "zh",
    "simplified chinese": "zh", "chinese simplified": "zh", "简体中文": "zh", "简体": "zh", "汉语": "zh",
    "普通话": "zh", "cn": "zh", "zh-tw": "zh-Hant", "zh-hk": "zh-Hant", "zh-mo": "zh-Hant",
    "繁体中文": "zh-Hant", "繁體": "zh-Hant", "繁体": "zh-Hant", "正體中文": "zh-Hant",
    "chinese traditional": "zh-Hant", "英文": "en", "英语": "en", "日文": "ja", "日语": "ja", "韩文": "ko",
    "韩语": "ko", "德文": "de", "德语": "de", "法文": "fr", "法语": "fr", "俄语": "ru", "俄文": "ru",
    "西班牙语": "es", "castellano": "es", "nb": "no", "bokmål": "no", "farsi": "fa", "tagalog": "tl",
    "fil": "tl", "brazilian portuguese": "pt", "slovene": "sl", "bangla": "bn", "jp": "ja", "iw": "he",
    "in": "id",
}  # fmt: skip


def language(code: str) -> Language:
    """The table's row for a code that `parse` or `identify` returned."""
    return _BY_CODE[code]


def parse(text: str) -> str:
    """The code of a language named by code, English name or own name, in any case.

    Understands zh-Hans, zh-TW, en_US and FLORES codes (zho_Hans) too. Raises UsageError, with the nearest
    name, for anything else.
    """
    wanted = " ".join(text.split()).casefold().replace("_", "-")
    names = _names()
    tag = re.fullmatch(r"([a-z]{2,3})(-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?", wanted)
    for key in (wanted, f"{tag[1]}{tag[2] or ''}", tag[1]) if tag else (wanted,):
        if key in names:
            return names[key]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    example = names[near[0]] if near else "zh"
    known = _BY_CODE[example].name
    hint = f"did you mean '{example}' ({known})?" if near else "use a code or a name, such as zh, German or 日本語"
    raise UsageError(f"unknown language '{text}'", hint)


def identify(text: str) -> str | None:
    """The code of the language `text` is written in, or None where it cannot be told (a few Latin words)."""
    sample = text[:20_000]
    counts = {script: len(pattern.findall(sample)) for script, pattern in _SCRIPTS.items()}
    # A character of these scripts carries about as much as three Latin letters.
    weighed = {script: count * (3 if script in {"Hani", "Kana", "Hang"} else 1) for script, count in counts.items()}
    script = max(weighed, key=lambda name: weighed[name])
    if not weighed[script]:
        return None
    if script in {"Hani", "Kana"}:
        return _east_asian(sample, counts)
    if script in _ONE_LANGUAGE:
        return _ONE_LANGUAGE[script]
    return _likeliest(sample, script, counts[script])


def is_written_in(code: str, text: str) -> bool:
    """Whether `text` has a letter of the script that language `code` is written in, or none of any."""
    script = language(code).script
    for name in _WRITTEN.get(script, (script,)):
        if name not in _SCRIPTS or _SCRIPTS[name].search(text):
            return True
    return not any(pattern.search(text) for pattern in _SCRIPTS.values())


_WRITTEN = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Kana", "Hani")}


# Latin is counted with its accents, and Han apart from Kana: only Japanese mixes the two.
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(f"[{ranges}]")
    for name, ranges in {
        "Latn": "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ",
        "Hani": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
        "Kana": "\u3041-\u30ff\uff66-\uff9f",
        "Hang": "\uac00-\ud7af\u1100-\u11ff\u3131-\u318e",
        "Cyrl": "\u0400-\u052f",
        "Grek": "\u0370-\u03ff\u1f00-\u1fff",
        "Arab": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
        "Hebr": "\u0590-\u05ff",
        "Deva": "\u0900-\u097f",
        "Beng": "\u0980-\u09ff",
        "Guru": "\u0a00-\u0a7f",
        "Gujr": "\u0a80-\u0aff",
        "Taml": "\u0b80-\u0bff",
        "Telu": "\u0c00-\u0c7f",
        "Knda": "\u0c80-\u0cff",
        "Mlym": "\u0d00-\u0d7f",
        "Sinh": "\u0d80-\u0dff",
        "Thai": "\u0e00-\u0e7f",
        "Laoo": "\u0e80-\u0eff",
        "Mymr": "\u1000-\u109f",
        "Khmr": "\u1780-\u17ff",
        "Geor": "\u10a0-\u10ff",
        "Armn": "\u0530-\u058f",
    }.items()
}
_ONE_LANGUAGE = {
    "Hang": "ko", "Grek": "el", "Hebr": "he", "Beng": "bn", "Guru": "pa", "Gujr": "gu", "Taml": "ta",
    "Telu": "te", "Knda": "kn", "Mlym": "ml", "Sinh": "si", "Thai": "th", "Laoo": "lo", "Mymr": "my",
    "Khmr": "km", "Geor": "ka", "Armn": "hy",
}  # fmt: skip
# Frequent characters that only one of the two ways of writing Chinese has.
_SIMPLIFIED = re.compile(
    "[这们来对会国说时过为个学发经还没见长门问间东车马书话语边进远运动电开关现让认识应该样体头实点爱请谢谁]"
)
_TRADITIONAL = re.compile(
    "[這們來對會國說時過為個學發經還沒見長門問間東車馬書話語邊進遠運動電開關現讓認識應該樣體頭實點愛請謝誰]"
)
_DISTINCTIVE = {
    "uk": "іїєґІЇЄҐ",
    "be": "ўЎ",
    "sr": "ђћџљњЂЋЏЉЊ",
    "mk": "ѓќѕЃЌЅ",
    "kk": "әғқңұһӘҒҚҢҰҺ",
    "fa": "پچژگ",
    "ur": "ٹڈڑںےہ",
}
_COMMONEST = {"Cyrl": "ru", "Arab": "ar", "Deva": "hi"}
_SURE = 0.5  # of the probability, over the languages of the script


def _east_asian(sample: str, counts: Mapping[str, int]) -> str:
    # Chinese texts quote a kana now and then (の); Japanese ones are a third kana or more.
    if counts["Kana"] * 10 > counts["Hani"]:
        return "ja"
    traditional = len(_TRADITIONAL.findall(sample))
    return "zh-Hant" if traditional > len(_SIMPLIFIED.findall(sample)) else "zh"


def _likeliest(sample: str, script: str, letters: int) -> str | None:
    """The likeliest of the languages written in `script`; None for Latin text that could be several."""
    candidates = {language.code for language in LANGUAGES if language.script == script}
    marked = {code for code in candidates & set(_DISTINCTIVE) if set(_DISTINCTIVE[code]) & set(sample)}
    if marked and letters < 200:
        candidates = marked
    if len(candidates) == 1:
        return candidates.pop()
    scores = {code: score for code, score in _rank(sample) if code in candidates}
    if not scores:
        return None
    # Naive Bayes is far too sure of long texts; divided by the square root of their length its scores are
    # calibrated (py3langid does so for its own probabilities).
    scale = math.sqrt(len(sample.encode()))
    highest = max(scores.values())
    weights = {code: math.exp((score - highest) / scale) for code, score in scores.items()}
    best = max(weights, key=lambda code: weights[code])
    sure = weights[best] / sum(weights.values())
    if sure >= _SURE and (script != "Latn" or letters >= 8):
        return best
    return _COMMONEST.get(script)


def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for language in LANGUAGES:
        for key in (language.code, language.name, language.own_name, language.nllb, language.nllb[:3]):
            names.setdefault(key.casefold().replace("_", "-"), language.code)
    return names | _ALIASES


def _rank(text: str) -> list[tuple[str, float]]:
    """The door to py3langid: every language it knows with the log of its likelihood."""
    import py3langid

    ranked: list[tuple[str, float]] = py3langid.rank(text)
    return ranked
