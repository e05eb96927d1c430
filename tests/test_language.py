"""Languages: parsed from what people type, identified from what they wrote."""

import pytest

from lmcli.errors import UsageError
from lmcli.text.language import LANGUAGES, identify, language, parse


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("zh", "zh"), ("ZH-hans", "zh"), ("zh_CN", "zh"), ("zh-Hant", "zh-Hant"), ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"), ("中文", "zh"), ("繁體中文", "zh-Hant"), ("Chinese", "zh"),
        ("en-US", "en"), ("english", "en"), ("GERMAN", "de"), ("deutsch", "de"), ("日本語", "ja"),
        ("pt-BR", "pt"), ("zho_Hans", "zh"), ("es-419", "es"), (" Traditional  Chinese ", "zh-Hant"),
        ("nb", "no"),
    ],
)  # fmt: skip
def test_a_language_is_understood_by_code_or_name(text, code):
    assert parse(text) == code


def test_every_name_and_code_of_the_table_is_understood():
    for row in LANGUAGES:
        for text in (row.code, row.name, row.own_name, row.nllb):
            assert parse(text) == row.code
        assert language(row.code) is row


def test_no_code_stands_twice_in_the_table():
    for column in ("code", "nllb", "name", "own_name"):
        values = [getattr(row, column) for row in LANGUAGES]
        assert len(set(values)) == len(values)


def test_a_slip_is_answered_with_the_nearest_language():
    with pytest.raises(UsageError) as caught:
        parse("germen")
    assert caught.value.hint == "did you mean 'de' (German)?"


@pytest.mark.parametrize("text", ["klingonese", "", "xx", "en-nonsense"])
def test_an_unknown_language_is_a_usage_error(text):
    with pytest.raises(UsageError, match="unknown language") as caught:
        parse(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The cat sat on the mat.", "en"), ("What a lovely day", "en"), ("Das ist ein schöner Tag.", "de"),
        ("Ceci est une phrase en français.", "fr"), ("El tren llega a las ocho de la mañana.", "es"),
        ("Olá, tudo bem com você?", "pt"), ("你好", "zh"), ("這是一個測試", "zh-Hant"),
        ("これは本です", "ja"), ("안녕하세요", "ko"), ("Привет", "ru"), ("Привіт, як справи?", "uk"),
        ("مرحبا بالعالم", "ar"), ("سلام چطوری", "fa"), ("שלום", "he"), ("γεια σου", "el"), ("สวัสดี", "th"),
        ("नमस्ते दुनिया", "hi"), ("我们用 PyTorch 训练了一个模型。", "zh"),
        ("The word 你好 means hello in Chinese.", "en"),
    ],
)  # fmt: skip
def test_a_text_is_identified(text, code):
    assert identify(text) == code


@pytest.mark.parametrize("text", ["hello", "OK", "12 km", "123 !!", "", "😀", "kubectl get pods"])
def test_what_could_be_any_language_is_not_guessed(text):
    assert identify(text) is None
