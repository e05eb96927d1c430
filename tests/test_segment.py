"""Segmentation: nothing is lost, and a full stop is not always an end."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcli.errors import InputTooLong
from lmcli.text.segment import lines, paragraphs, parts, sentences

CHUNKS = (
    "```|~~~|# |> |**|»|«|“|《|》|;|word|Mr|U.S|.|…|!|?|。|！|；|”|」|)|（| |  |\n|\r\n|\r|\t|3.14|中文|e.g.|,|，|http://a.b/c?d=e|😀|👩\u200d👧|é|\u2028|"
    "\x0b|1.|-|The|the"
)
PIECES = st.sampled_from(CHUNKS.split("|"))
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


def words(text: str) -> int:
    """Tokens of a text: a word or a CJK character each."""
    return len(re.findall(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+", text))


@given(TEXTS, st.booleans())
def test_sentences_lose_nothing(text, wrapped):
    pieces = sentences(text, wrapped)
    assert "".join(pieces) == text
    assert all(pieces)


@given(TEXTS)
def test_paragraphs_lose_nothing(text):
    pieces = paragraphs(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(TEXTS)
def test_lines_lose_nothing(text):
    assert "".join(lines(text)) == text


@given(TEXTS, st.integers(4, 40))
def test_parts_lose_nothing_and_fit(text, limit):
    pieces = parts(text, limit, len)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(TEXTS)
def test_a_newline_always_ends_a_sentence(text):
    for piece in sentences(text):
        body = piece.rstrip() if piece.strip() else ""
        assert not re.search(r"[\r\n]", body.lstrip())


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith arrived. |He sat down.",
        "It was 5 p.m. |Then he left.",
        "It was 5 p.m. |John left.",
        "We met at 10 a.m. Monday in the office.",
        "Call before 5 p.m. EST or wait.",
        "The U.S. Army is here. |It is big.",
        "She moved to the U.S. |The rest stayed.",
        "The United States (U.S.) Army is here.",
        "No. 5 is alive. |So is No. 6.",
        "I said no. |Five people left.",
        "Bring fruit, e.g. apples. |Thanks.",
        "Bring it, e.g. This one. |Thanks.",
        "Pi is 3.14. |Euler's number is 2.718.",
        "Mr. and Mrs. Dursley were proud. |They said so.",
        "Yahoo! is a company. |So is Google.",
        "Yahoo! Inc. was bought. |Nobody cared.",
        '"Stop." |He ran.',
        'He said, "I am tired." |Then he slept.',
        '"Are you sure?" she asked. |"Yes."',
        '"Really?" Tom asked. |"Yes!" I said.',
        "Wait... what? |No.",
        "I don't know... |Maybe later.",
        "... and so on. |Then it ended.",
        "What?! |You can't be serious.",
        "J. R. R. Tolkien wrote it. |C. S. Lewis read it.",
        "George W. Bush won. |Al Gore lost.",
        "It's version v1.2.3. |Upgrade now.",
        "Open README.md. |Then run setup.py. |Done.",
        "See https://example.com/a.b?c=d!e. |It helps.",
        "1. First. |2. Second. |3. Third.",
        "a) one thing. |b) Another.",
        "The company is Acme Inc. |It makes anvils.",
        "He has a Ph.D. |She has an M.D.",
        "Apples, pears, etc. |We ate them. |Shops, banks, etc. |Nothing else.",
        "He came on Jan. 5, 2020. |Then he left in Dec. 2021.",
        "Fig. 3 shows it. |He ate a fig. |Figs. 4–6 do not.",
        "She lives on Baker St. |The door is open. |St. Paul is far.",
        "I love art. |Painting is fun. |Art. 5 says so.",
        "Wait a sec. |Birds sang in the sun. |He sat. |Everyone stood.",
        "Smith et al. Nature 2020. |It is cited.",
        "He did (really!) Tuesday. |(He did it.) |Fine.",
        "It is so.[1] |The next one.[2][3] |Last.",
        "**Bold.** |The next *one.* |Last.",
        "Great! 😀 |Next time too!😀👍 |Bye.",
        "He had an iPhone. |iPads came next.",
        "So am I. |Nobody knew. |I. Newton did.",
        "the movie was great . |i loved it . |but why ?",
        "it was fun. |i loved it! |would go again",
        'The song "Help!" was a hit. |Everyone knew it.',
        "“I’m done.” |“Me too.” |‘Why?’ |He shrugged.",
        "Hello!!! |How are you??? |Fine.",
        "Roe v. Wade was decided. |Brown vs. Board too.",
        "ASP.NET Core is fast. |Use .NET. |Then rest.",
        "Das kostet z.B. 5 Euro. |Dann gehen wir.",
        "Das kostet z. B. Berlin viel, d. h. Wir zahlen. |Ende.",
        "Am 3. Oktober 1990 wurde es wahr. |Der 2. Weltkrieg war vorbei. |Alle feierten.",
        "Die 3. Auflage erschien im 19. Jahrhundert. |Er war 3. |Danach kam nichts.",
        "Er sagte: „Ich komme.“ |Dann ging er.",
        "»Wer da?« |»Ich.« |Dr. Müller vgl. Abs. 2 lachte.",
        "M. Le Pen est arrivé. |Il est reparti.",
        "« Bonjour ! » dit-il. |Elle sourit.",
        "« Bonjour ! » |Il partit. |Quoi ? |Rien.",
        "¿Qué tal? |¡Muy bien! |El Sr. García llegó. |La Sra. López no.",
        "En EE. UU. es así. |Véase la pág. 5.",
        "他说：“你好。”然后走了。|我没动。",
        "“你好。”他说。|“再见！”她笑着问道。|我走了。",
        "“你好。”|老师站起来，“坐下。”",
        "我读了《你好！》这本书。|《红楼梦》是名著。|很好！",
        "他（真的吗？）来了。|（他来了。）|完了。",
        "春天来了；花开了；鸟叫了。|夏天呢？",
        '他走了。|"你好吗？"|她没有回答。',
        "他走了。|**重点**在此。|**结束。**|好。",
        "我……我不知道。|等等…… |完了。",
        "真的吗？！|真的。。。|好吧",
        "我用 Node.js 写的。|版本v1.2.3发布了。|访问 https://a.cn/b?c=1。|谢谢！",
        "圆周率是3.14左右。|价格是￥9.9。|他在U.S.工作。",
        "「行く。」と言った。|「はい。」|彼は頷いた。",
        "本当か？と聞いた。|とても寒い。|とんでもない！|そうですか？！|はい。",
        "吾輩は猫である。|名前はまだ無い。|どこで生れたか（不明。）とんと見当がつかぬ。",
        "Он жил в г. Москве, т.е. далеко. |Потом уехал и т.д. Конец.",
        "Τι κάνεις; |Καλά.",
        "هل أنت بخير؟ |نعم.",
        "안녕하세요. |반갑습니다! |네?",
        "I use Python.你呢？|我不用。",
        "Use `a.b()`. |It works. |Run `x.py`! |Now.",
        "Henry VIII. |He was king. |The 5th of Nov. 1605 is remembered.",
        "He arrived. |(See p. 5.) |Then he left.",
        'She said "go." |We went. |"Go!" |He said nothing.',
        "It costs $5.99. |That's cheap! |Only 99.5%. |OK.",
        "今天很好.|我们走吧!|好吗?|好",
        "It costs $3.50, i.e. nothing, e.g. for you.",
        "She lives in the U.S. with J. R. R. Tolkien.",
        "Use v2.0.1 from https://example.org/a.b?c=d!e for it.",
        "“Stop!” he said.",
        "Well... maybe not.",
        "Er kam am 3. Oktober z. B. nach Berlin.",
        "See Fig. 3 and Vol. 2, pp. 4 ff.",
        "On Sept. 11 and Jan. 3 at 5 p.m. sharp.",
        "一.概述",
        "你好。|我很好！|你呢？|分号；句号。|“引号。”|（括号。）|完了。",
        "Title\n|A line without a mark\r\n|and another\r|end",
        "First.\n\n\n|Second.",
        "  Indented. |Next.  \n|End",
        "यह एक वाक्य है। |यह दूसरा है।",
        "# A title. |With two\n|> A quotation. |Its second.\n|- An item. |More of it.\n|\tIndented.",
        "Look:\n|```sh\n|echo a. Then b. Done.\n|```\n|So. |Yes.",
    ],
)
def test_a_sentence_ends_at_each_bar_and_nowhere_else(text):
    assert sentences(text.replace("|", "")) == text.split("|")


def test_a_row_of_a_table_is_not_cut():
    rows = ["| Name. First | Dr. No. He |\n", "|---|---|\n", "| a. B | c! D |"]
    assert sentences("".join(rows)) == rows


@pytest.mark.parametrize(
    "text",
    [
        "It is a truth universally\nacknowledged, as Dr.\nSmith said. |It was\r\nnot so.\n\n|Next.",
        "今天的天气很好，我们\n出去走走吧。|你呢？\n|不去。",
        "# A title\n|The prose below it goes\non here. |And ends.",
        "A long line of prose that\ngoes on for more.\n|- an item of a list\n|- another that is\n  wrapped. |Ends.",
        "A title\n|=======\n|Prose.",
        "> A quotation that is\n|> cut by line.",
        "A hard break stands here  \n|and ends the line.",
        "Short line\n|A line that is more than twice as long as it.",
        "1. one item of the list\n|2. another item of it",
        "Prose before the code\n|```\n|a b\n|c d\n|```\n|prose behind it",
    ],
)
def test_a_wrapped_paragraph_is_read_as_one_line(text):
    assert sentences(text.replace("|", ""), wrapped=True) == text.split("|")


def test_paragraphs_end_after_blank_lines():
    assert paragraphs("\n\na\nb\n\n \nc\r\n\r\nd") == ["\n\na\nb\n\n \n", "c\r\n\r\n", "d"]


def test_a_paragraph_that_fits_is_not_cut():
    text = "one two three.\n\nfour five. six.\n\nseven."
    assert parts(text, 4, words) == ["one two three.\n\n", "four five. six.\n\nseven."]


def test_parts_are_of_similar_size():
    text = "".join(f"Sentence number {n}. " for n in range(101))
    sizes = [words(part) for part in parts(text, 100, words)]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) < 12


def test_a_long_sentence_is_cut_at_clauses_then_words_then_characters():
    assert parts("alpha beta, gamma delta", 2, words) == ["alpha beta, ", "gamma delta"]
    assert parts("alpha beta gamma", 2, words) == ["alpha beta ", "gamma"]
    assert parts("abcdefgh", 3, len) == ["ab", "cd", "ef", "gh"]


def test_no_cut_falls_inside_a_joined_emoji_or_before_an_accent():
    family = "👩‍👩‍👧"
    assert parts(family * 4, len(family), len) == [family] * 4
    assert all(not piece.startswith("\u0301") for piece in parts("e\u0301" * 7, 4, len))


def test_a_character_that_does_not_fit_is_refused():
    with pytest.raises(InputTooLong):
        parts("ab", 0, len)


def test_a_sum_that_promised_too_little_is_checked():
    def greedy(text: str) -> int:  # Joined pieces have more tokens than they had apart.
        return len(text) + text.count(". ") ** 2

    text = "".join(f"A{n}. " for n in range(50))
    assert all(greedy(part) <= 30 for part in parts(text, 30, greedy))


def test_a_book_is_cut_in_a_second_with_each_sentence_counted_a_few_times():
    book = ("The quick brown fox, e.g. Mr. Reynard, jumped over 3.5 dogs. Then it slept. " * 6 + "\n\n") * 400
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return words(text)

    began = time.perf_counter()
    pieces = parts(book, 500, count)
    assert "".join(pieces) == book
    assert counted < 6 * len(book)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "Mr. " * 30_000,
        "a" * 200_000,
        ". " * 50_000,
        "。" * 100_000,
        "\n" * 100_000,
        "a. b " * 30_000,
        "(a!) x " * 30_000,
        '" ."a' * 30_000,
        ".)" * 50_000,
        "。“" * 50_000,
        "Mr. |" * 30_000,
        "。）了" * 50_000,
    ],
)
def test_odd_texts_take_no_longer(text):
    began = time.perf_counter()
    assert "".join(parts(text, 100, len)) == text
    assert time.perf_counter() - began < 10
