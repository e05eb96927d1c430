"""Reading texts: encodings, line endings, and one clear line for what cannot be read."""

import io
import os

import pytest

from lmcli.errors import InputError, UsageError
from lmcli.text.documents import Document, read_all, read_file, read_stdin
from lmcli.text.encodings import decode, known

CHINESE = "这家餐厅的菜很好吃，服务员也非常热情，我们下次还会再来的。"
KOREAN = "나는 고양이다. 이름은 아직 없다. 어디서 태어났는지 도무지 알 수 없다."
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


def read_bytes(tmp_path, data: bytes) -> Document:
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    return read_file(str(path))


def refusal(tmp_path, data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path, data)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    assert "notes.txt" in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_with_or_without_its_mark(tmp_path, encoding):
    assert read_bytes(tmp_path, "naïve 中文 😀\n".encode(encoding)).text == "naïve 中文 😀\n"


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_utf_16_is_read_in_both_byte_orders(tmp_path, mark, encoding):
    assert read_bytes(tmp_path, mark + "日本".encode(encoding)).text == "日本"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        ("很香,很好吃", "gb18030"),
        (KOREAN, "euc_kr"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
    ],
)
def test_a_plain_case_of_a_legacy_encoding_is_read(tmp_path, text, encoding):
    document = read_bytes(tmp_path, text.encode(encoding))
    assert document.text == text
    assert document.encoding != "utf-8"


def test_line_endings_are_kept(tmp_path):
    assert read_bytes(tmp_path, b"one\r\ntwo\rthree\n\n").text == "one\r\ntwo\rthree\n\n"


def test_western_legacy_text_is_not_guessed(tmp_path):
    message = refusal(tmp_path, "Le château était entouré".encode("latin-1"))
    assert "not UTF-8" in message
    assert "0xe2 at offset 5" in message


def test_a_refused_encoding_comes_with_the_option_that_names_it(tmp_path):
    (tmp_path / "menu.txt").write_bytes("Le château".encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_file(str(tmp_path / "menu.txt"))
    assert "--encoding latin-1" in caught.value.hint


@pytest.mark.parametrize(
    ("told", "data", "text"),
    [
        ("latin-1", "Le château".encode("latin-1"), "Le château"),
        ("latin-1", "“château” – 5 €".encode("cp1252"), "“château” – 5 €"),
        ("ISO-8859-1", b"caf\xe9 \x81", "café \x81"),
        ("gb2312", "镕基".encode("gbk"), "镕基"),
        ("Shift_JIS", "①髙".encode("cp932"), "①髙"),
        ("utf-8", b"\xef\xbb\xbfhello", "hello"),
        ("utf-16", "\ufeff日本".encode("utf-16-le"), "日本"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
    ],
)
def test_an_encoding_that_is_told_is_used(tmp_path, told, data, text):
    (tmp_path / "notes.txt").write_bytes(data)
    assert read_file(str(tmp_path / "notes.txt"), known(told)).text == text


def test_a_told_encoding_that_is_wrong_is_one_line(tmp_path):
    (tmp_path / "notes.txt").write_bytes("Le château".encode("latin-1"))
    with pytest.raises(InputError, match=r"notes\.txt is not EUC_JP: byte 0xe2 at offset 5"):
        read_file(str(tmp_path / "notes.txt"), known("euc-jp"))


@pytest.mark.parametrize(("name", "hint"), [("latin1x", "latin-1"), ("gb18031", "gb18030"), ("base64", "such as")])
def test_an_unknown_encoding_is_a_usage_error_with_a_hint(name, hint):
    with pytest.raises(UsageError, match=f"unknown encoding '{name}'") as caught:
        known(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["Plain English, line by line.\n", "naïve Привет\n", CHINESE + "\n" + JAPANESE + "\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_read_where_it_plainly_is(tmp_path, text, encoding):
    document = read_bytes(tmp_path, text.encode(encoding))
    assert (document.text, document.encoding) == (text, encoding)


def test_damaged_utf_8_is_not_read_as_something_else(tmp_path):
    damaged = CHINESE.encode()[:-1] + b" and more"
    assert f"offset {len(CHINESE.encode()) - 3}" in refusal(tmp_path, damaged)


@pytest.mark.parametrize("data", [b"text\0with a NUL", b"\x7fELF" + bytes(range(32)) * 9, b"\x01\x02\x03" * 40])
def test_a_binary_file_is_refused_by_name(tmp_path, data):
    assert "binary" in refusal(tmp_path, data)


def test_a_pdf_is_refused_with_the_way_to_its_text(tmp_path):
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"%PDF-1.7\n%\xe2\xe3")
    with pytest.raises(InputError, match="is a PDF") as caught:
        read_file(str(path))
    assert "pdftotext" in caught.value.hint


def test_coloured_text_is_still_text(tmp_path):
    assert read_bytes(tmp_path, b"\x1b[1mbold\x1b[0m\tand\x0cpaged\n").text.startswith("\x1b[1mbold")


@pytest.mark.parametrize("data", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_text_is_refused(tmp_path, data):
    assert "empty" in refusal(tmp_path, data)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt does not exist"):
        read_file(str(tmp_path / "absent.txt"))


def test_a_directory_is_one_line(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_file(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_one_line(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read_file(str(path))


def test_a_name_no_system_accepts_is_one_line():
    with pytest.raises(InputError, match="cannot be read"):
        read_file("a\0b")


def test_standard_input_has_no_name():
    assert read_stdin(io.BytesIO(b"hello")) == Document(None, "hello")


def test_no_name_and_a_dash_are_standard_input(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("filed")
    assert [d.text for d in read_all([], io.BytesIO(b"piped"))] == ["piped"]
    assert [d.text for d in read_all([str(path), "-"], io.BytesIO(b"piped"))] == ["filed", "piped"]


def test_standard_input_cannot_be_asked_for_twice():
    with pytest.raises(InputError, match="once"):
        read_all(["-", "-"], io.BytesIO(b"x"))


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "cp932", "euc_jp", "cp949"])
def test_a_page_of_code_with_comments_in_a_legacy_encoding_is_recognized(encoding: str) -> None:
    said = {
        "gb18030": "这是一个类的成员，我们在这里说明它的用法。", "big5": "這是一個類別的成員，我們在這裡說明它的用法。",
        "cp932": "これはクラスのメンバーで、ここで使い方を説明します。",
        "euc_jp": "これはクラスのメンバーで、ここで使い方を説明します。",
        "cp949": "이것은 클래스의 구성원이고 여기에서 사용법을 설명합니다.",
    }[encoding]  # fmt: skip
    text = f"# {said}\n\n```csharp\npublic class Point {{ public int X {{ get; }} }}\n```\n" * 200
    assert decode(text.encode(encoding), "page")[0] == text
