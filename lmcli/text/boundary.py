"""Sentence ends: which full stop, question mark or ellipsis ends a sentence, and which is part of one.

Rules and lists of abbreviations for Latin, Cyrillic and East Asian text. In doubt a sentence goes on: two sentences
in one piece do less harm to a translation or a summary than half a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"


def ends(text: str) -> Iterator[int]:
    """The offsets in `text` behind each sentence but the last; whitespace belongs to the sentence before it.

    A newline counts as a space. Takes time in proportion to the length of `text`.
    """
    start, caseless = 0, None
    for found in _MARK.finditer(text):
        end = _end_of(text, start, found)
        if end == len(text):
            return
        if caseless is None:
            caseless = not any(c.isupper() for c in text[:10_000])
        if _is_end(text, start, found, end, caseless):
            yield end
            start = end


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUOTES = "\"'”’»›」』〞＂＇"
_CLOSERS = _QUOTES + r")\]}）】》〉〕］｝"
_EMOJI = "❤☺☹\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f900-\U0001faff\ufe0f\u200d"
# Marks that may end a sentence, what closes it, and the whitespace that goes with it. What opens a quotation in one
# language closes it in another: “ » « and * close where they stand behind the mark and before a space.
_MARK = re.compile(
    rf"""(?P<mark>[.!?…。！？｡．؟۔।॥።‼⁇⁈⁉\u037e]+|(?<=[\u0370-\u03ff\u1f00-\u1fff]);(?=\s))
    (?P<close>(?:[{_CLOSERS}]|\[\d{{1,3}}\]|[¹²³⁰-⁹]|[\u0020\u00a0\u202f]»(?=[\s,.;:]|$)
      |\*\*|[“‘«*_]+(?=\s|$)|\u0020?[{_EMOJI}]+)*)
    (?P<space>\s*)""",
    re.X,
)
_ALWAYS = set("。！？｡؟۔।॥።‼⁇⁈⁉;\u037e")  # no other use in any script
_GO_ON = set(",;:，、；：")
_IS_CJK = re.compile(rf"[{CJK}]")
_WORD_BEFORE = re.compile(r"[^\W_](?:[^\W_]|[.'’-](?=[^\W_]))*$")
_WORD_AFTER = re.compile(rf"[\s{_CLOSERS}“‘«‹„‚(\[{{¿¡*_#>-]*([^\W_]+)(\.)?")
_LIST_MARK = re.compile(r"\s*(?:[-*+>#]+\s+)?(?:\d{1,3}|[^\W\d_]|[ivxIVX]{1,5}|[一二三四五六七八九十]{1,3})$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]$")  # U.S, e.g, z.B, т.е
_INITIAL = re.compile(r"(?:^|[\s(\[\"'“‘.-])[^\W\d_]$")
_PRONOUN = re.compile(r"[a-z,]\sI$")
_SPACED = re.compile(
    r"(?<!\w)(?:z\. ?B|d\. ?h|u\. ?a|o\. ?ä|u\. ?ä|s\. ?o|z\. ?T|v\. ?a|i\. ?d\. ?R|p\. ?ex|т\. ?е)$", re.I
)
_ORDINAL = re.compile(
    r"(?<!\w)(?:am|im|der|die|das|dem|den|des|zum|zur|vom|beim|seit|bis|ab|eine?[mnrs]?)\s\d{1,2}$", re.I
)
_NUMBER = re.compile(r"\s*[(\[#§]?(?:\d|[IVXLC]+\b)")
_ITEM = re.compile(r"\(?(?:[a-z]|[ivx]{1,4})\)\s")  # b) in a line of several
# "Really?" Tom asked. The quotation is not the end, its speaker follows.
_SPEAKER = re.compile(
    r"(?!(?:He|She|It|We|You|They|The|A)\b)[A-Z][\w.'’-]*(?:\s[A-Z][\w.'’-]*)?\s"
    r"(?:said|says|asked|asks|replied|cried|shouted|whispered|answered|exclaimed|wondered|demanded|called|muttered)\b"
)
# “你好。”他说。 and 「行く。」と言った。 are one sentence each.
_SPEAKER_CJK = re.compile(
    r"(?:(?![没沒不])[^，。！？；：“”「」\s]){0,5}(?:说|道|问|喊|叫|答|說|問|想)(?=[。，：,:了着著])|然后|然後|随后|隨後|接着|接著"
    r"|[便就并又的地之]|と|っ?て"
)
_QUOTED_QUESTION = re.compile(r"と(?:[聞思言問尋叫呼考答書]|いう|いった)|って")

# After a title a name follows; the ordinary words rep, gen and col have no capital.
_TITLES = _words("""
    mr mrs ms dr prof rev gen sen rep gov pres capt cmdr lt col sgt maj hon messrs m mm mme mmes mlle me
    sr sra srta dra fr sig dott ing dhr mevr hr st ste mt ft
""")
# After these a full stop never ends the sentence.
_ABBREVIATIONS = _words("""
    vs e.g i.e eg ie cf viz approx ed eds dept univ z.b d.h u.a s.o bzw evtl ggf vgl inkl zzgl sog p.ex
    ee ud uds dña d.ña pág.ej np tzn ul bijv o.a m.b.t т.е напр им ул стр рис см
""")
# After these a number follows; else they are words that may end a sentence.
_NUMBERED = _words("""
    no nos p pp vol vols fig figs ch chap sec art eq eqs nr num núm n.º pág págs pag min max ca est tel ext ver
    par para ref refs tab abb abs kap bd str
""")
_DATES = _words("jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun")
# After these it does end when a new sentence plainly begins.
_AMBIGUOUS = _words("""
    inc ltd co corp bros jr esq assn ave blvd usw dgl uu u.s u.k u.n ph.d b.c a.d d.c m.d b.a m.a т.д т.п др г гг
""")
_EXCLAIMED = _words("yahoo jeopardy")
_CLOCK = _words("a.m p.m")
_AFTER_CLOCK = _words("""
    est edt cst cdt mst mdt pst pdt et ct mt pt gmt utc bst cet cest ist jst monday tuesday wednesday thursday friday
    saturday sunday january february march april may june july august september october november december
""")
_STARTERS = _words("""
    the a an this that these those he she it they we i you his her its their our my your but and or so
    yet if when while as at in on for from with by after before since although though because however
    moreover meanwhile then there here now what who where why how not no all many most some one each
    every both another such still even only once until also today yesterday maybe perhaps der die das ein eine er sie
    es wir ich und aber dann dies doch wenn nach le la les un une il elle nous vous on et mais el los
    las una ella ellos
""")
_GERMAN_MONTHS = _words("""
    januar februar märz april mai juni juli august september oktober november dezember jahrhundert
""")


def _end_of(text: str, start: int, found: re.Match[str]) -> int:
    """Where the sentence would end: a quotation mark or ** that opens what follows is not part of it."""
    close = found["close"]
    for mark in ('"', "**"):
        at = close.find(mark)
        if at >= 0 and not found["space"]:
            at += found.start("close")
            # A count over the whole sentence would make a text of many such marks take time squared.
            if text.count(mark, max(start, at - 2000), at) % 2 == 0:
                return at
    return found.end()


def _is_end(text: str, start: int, found: re.Match[str], end: int, caseless: bool) -> bool:
    """Whether the marks `found` end the sentence that began at `start`; something follows at `end`."""
    mark, after = found["mark"], text[end]
    close = text[found.end("mark") : min(found.end("close"), end)]
    space = end == found.end() and bool(found["space"])
    if after in _GO_ON or (close and _in_parentheses(text, start, found.end("mark"), close[0])):
        return False
    if close and set(close) & set(_QUOTES) and _has_speaker(text, end, mark):
        return False
    if _ALWAYS & set(mark):
        return not (close[:1] in {"》", "〉"} and not space) and not (not close and _QUOTED_QUESTION.match(text, end))
    if found.start() - start < 20 and _opens(text[start : found.start()], mark):
        return False
    if not space:
        # Decimals, versions, URLs and names of files have no space; Chinese with ASCII marks has none either.
        before = text[found.start() - 1] if found.start() > start else ""
        joined = bool(close) or ("…" not in mark and bool(before and _IS_CJK.match(before)))
        return joined and bool(_IS_CJK.match(after))
    before, word = text[max(start, found.start() - 40) : found.start()], _WORD_AFTER.match(text, end)
    if word and word[1][0].islower() and not word[1][1:2].isupper():  # iPhone begins a sentence
        return _ends_before_lower(before, mark, close, caseless) or bool(_ITEM.match(text, end))
    if mark == "!" and word and _last_word(before).casefold() in _EXCLAIMED:
        return word[1].casefold() in _STARTERS
    return mark != "." or not word or _full_stop_ends(before, word)


def _ends_before_lower(before: str, mark: str, close: str, caseless: bool) -> bool:
    """Whether a sentence may begin with a small letter: in a tokenized text, and in one without capitals."""
    if mark == "." and before[-1:].isspace():
        return True
    if not caseless or close or mark not in {".", "!", "?", "!!", "!!!", "??", "???", "?!"}:
        return False
    return mark != "." or _full_stop_ends(before, None)


def _in_parentheses(text: str, start: int, end: int, closer: str) -> bool:
    """Whether the mark is the end of a remark (really?) inside a sentence; a sentence may be one altogether."""
    opener = {")": "(", "）": "（"}.get(closer)
    at = text.rfind(opener, max(start, end - 300), end) if opener else -1
    return at > start + 20 or bool(text[start : max(at, start)].strip())


def _has_speaker(text: str, end: int, mark: str) -> bool:
    return bool(_SPEAKER_CJK.match(text, end)) or (mark[-1] in "?!…" and bool(_SPEAKER.match(text, end)))


def _opens(before: str, mark: str) -> bool:
    """Whether the mark opens its sentence: "... and", and the number of a list."""
    return not any(c.isalnum() for c in before) or (mark == "." and bool(_LIST_MARK.match(before)))


def _last_word(before: str) -> str:
    if not before or before[-1].isspace():
        return ""
    found = _WORD_BEFORE.search(before.rsplit(None, 1)[-1])
    return found[0] if found else ""


def _full_stop_ends(before: str, after: re.Match[str] | None) -> bool:
    """Whether a single full stop ends a sentence, from the words on its two sides; `after` None where no word
    tells (a text without capitals)."""
    word = _last_word(before)
    plain = word.casefold()
    follower = after[1].casefold() if after else ""
    starts = follower in _STARTERS and not (after and after[2])  # "J. A. Smith": A. is an initial, no beginning
    if plain in _ABBREVIATIONS:
        return False
    if plain in _TITLES and word[0].isupper():
        return plain in {"st", "mt", "ft"} and starts
    if plain in _NUMBERED:
        return not (after and _NUMBER.match(after.string, after.start()))
    if plain in _CLOCK:
        return bool(after) and not follower.isdigit() and follower not in _AFTER_CLOCK
    if word.isdigit() and len(word) <= 2 and (follower in _GERMAN_MONTHS or _ORDINAL.search(before)):
        return starts
    if len(word) <= 2 and _SPACED.search(before):
        return False
    if word == "I" and _PRONOUN.search(before):
        return True
    return starts or not _may_be_short(word, before)


def _may_be_short(word: str, before: str) -> bool:
    """Whether a word, or an initial, is as often an abbreviation as it is the end of a sentence."""
    plain = word.casefold()
    if plain in _AMBIGUOUS or (plain in _DATES and word[0].isupper()) or (plain == "al" and before.endswith("et al")):
        return True
    return bool(len(word) == 1 and _INITIAL.search(before)) or bool(len(word) % 2 and _DOTTED.match(word))
