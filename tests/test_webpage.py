"""Web pages: what a person reads is kept in its order, and the furniture around it is not."""

import time

import pytest

from lmcli.errors import InputError
from lmcli.text.documents import read_file
from lmcli.text.webpage import readable

PAGE = """<!DOCTYPE html><html><head><title>Herons | Site</title><style>p{}</style><script>var a;</script></head>
<body><header><a href=/>Site</a><nav><ul><li><a>Home</a><li><a>About</a></ul></nav></header>
<div class=menu><a>One</a> <a>Two</a> <a>Three</a> <a>Four</a></div>
<main><h1>The Grey   Heron</h1><p>Herons are <b>tall</b> birds&nbsp;that
fish.<br>They stand &amp; wait.</p><ul><li>one<li>two</ul>
<pre>  code
    more</pre><table><tr><th>A<th>B<tr><td>1<td>2</table><p>你好，
世界。</p><aside>Advertisement</aside></main><footer>© 2026</footer></body></html>"""
TEXT = """The Grey Heron

Herons are tall birds that fish.
They stand & wait.

- one
- two

  code
    more

A | B
1 | 2

你好，世界。"""


def test_a_page_is_read_without_its_tags_and_menus():
    assert readable(PAGE) == TEXT


def test_a_page_without_a_heading_keeps_its_title():
    assert readable("<title>News</title><body><p>It rains.") == "News\n\nIt rains."


def test_a_short_article_on_a_long_page_is_not_all_of_it():
    page = "<article>Teaser.</article>" + "<p>The text of the page goes on and on.</p>" * 5
    assert "goes on and on" in readable(page)


def test_a_paragraph_with_links_is_no_menu():
    page = "<p>He read <a>a</a>, <a>b</a>, <a>c</a> and <a>d</a> in the long winter of that year.</p>"
    assert readable(page) == "He read a, b, c and d in the long winter of that year."


def test_unclosed_tags_do_not_join_what_stands_apart():
    assert readable("<p>One<br>two<p>three <i>four</i> five") == "One\ntwo\n\nthree four five"


@pytest.mark.parametrize("page", ["<div>" * 2000 + "x", "<p>a <a href=b>c</a></p>" * 3000, "<p>a" * 2000])
def test_a_large_page_takes_time_in_proportion(page):
    began = time.perf_counter()
    assert readable(page)
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.html", "<p>x", "html"),
        ("a.XHTML", "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body>x</body></html>", "html"),
        ("a.txt", "\n<!-- saved -->\n<!DOCTYPE HTML><html><body>x</body></html>", "html"),
        ("a.txt", "<b> is the tag for bold", "text"),
        ("a.md", "# x", "markdown"),
    ],
)
def test_a_document_tells_its_kind(tmp_path, name, data, kind):
    (tmp_path / name).write_text(data)
    document = read_file(str(tmp_path / name))
    assert document.kind == kind
    assert document.text == data
    assert "<html" not in document.readable


def test_a_page_that_a_script_fills_in_is_refused(tmp_path):
    (tmp_path / "app.html").write_text("<html><body><div id=root></div><script>start()</script></body></html>")
    with pytest.raises(InputError, match=r"app\.html is a page without text"):
        read_file(str(tmp_path / "app.html")).readable  # noqa: B018


@pytest.mark.parametrize(
    ("declared", "text"), [("gb2312", "很香"), ("iso-8859-1", "“château”"), ("windows-1251", "Привет")]
)
def test_a_page_is_read_in_the_encoding_it_names(tmp_path, declared, text):
    encoding = {"iso-8859-1": "cp1252"}.get(declared, declared)
    page = f'<html><head><meta charset="{declared}"></head><body>{text}</body></html>'
    (tmp_path / "old.html").write_bytes(page.encode(encoding))
    assert read_file(str(tmp_path / "old.html")).readable == text
