"""Web pages: the text of an HTML page that a person reads it for, without its navigation."""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Iterator

from bs4 import BeautifulSoup, CData, Tag, XMLParsedAsHTMLWarning
from bs4.element import NavigableString

from lmcli.text.boundary import CJK

_UNREAD = (
    "script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "form", "button", "select",
    "dialog", "nav", "aside", "footer", "head",
)  # fmt: skip
_UNREAD_ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "dialog", "menu", "menubar"}
_LISTS = ("ul", "ol", "table", "div", "section", "p", "dl")
# Line ends around an element: a blank line, or none.
_ENDS = {"br": 1, "li": 1, "tr": 1, "dt": 1, "dd": 1} | dict.fromkeys(
    (
        "address", "article", "blockquote", "body", "center", "details", "div", "dl", "fieldset", "figcaption",
        "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "main", "p", "pre",
        "section", "summary", "table", "caption",
    ),
    2,
)  # fmt: skip
_MAIN_SHARE = 0.3  # of the page's text
_LINK_SHARE = 0.8  # of the text of a menu that is not marked as one
_LINKS = 4
# In the source of a Chinese page a line may end anywhere; no space is meant.
_CJK_BREAK = re.compile(rf"(?<=[{CJK}，。、；：！？])[ \t]*\r?\n\s*(?=[{CJK}，。、；：！？（《“])")
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")


def readable(page: str) -> str:
    """The main text of an HTML page: a blank line between blocks, a line for each item, row and break.

    Empty where the page has none, as one that a script fills in.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is read well enough
        soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    # Marked and passed over: to take them out of the tree would look through it once for each.
    unread = {id(tag) for tag in soup.find_all(True) if _is_unread(tag)}
    root = _main(soup, unread)
    unread |= {id(tag) for tag in _menus(root, unread)}
    text = _laid_out(root, unread)
    return f"{title}\n\n{text}" if title and text and not root.find("h1") else text


def _is_unread(tag: Tag) -> bool:
    if tag.name in _UNREAD or tag.get("role") in _UNREAD_ROLES or tag.has_attr("hidden"):
        return True
    # The head of an article holds its title, the head of a site its name and a menu.
    return tag.get("aria-hidden") == "true" or (tag.name == "header" and not tag.find("h1"))


def _main(soup: BeautifulSoup, unread: Container[int]) -> Tag:
    """The one element that is marked as the main text and holds enough of it, else the body."""
    body = soup.body or soup
    for found in (soup.find_all("main") or soup.find_all(role="main"), soup.find_all("article")):
        if len(found) == 1 and _length(found[0], unread) >= _MAIN_SHARE * _length(body, unread):
            return found[0]
    return body


def _length(root: Tag, unread: Container[int]) -> int:
    return sum(len(node.strip()) for node, _ in _walk(root, unread) if not isinstance(node, Tag))


def _menus(root: Tag, unread: Container[int]) -> Iterator[Tag]:
    """The elements whose text is that of links, most of it; counted from the inside out, each text once."""
    counts = [(0, 0, 0)]  # characters, those in links, links
    for node, opens in _walk(root, unread):
        if isinstance(node, Tag) and opens:
            counts.append((0, 0, 0))
            continue
        if isinstance(node, Tag):
            own, linked, links = counts.pop()
            if node.name == "a":
                linked, links = own, 1
            if node.name in _LISTS and links >= _LINKS and linked >= _LINK_SHARE * own:
                yield node
        else:
            own, linked, links = len(node.strip()), 0, 0
        counts[-1] = (counts[-1][0] + own, counts[-1][1] + linked, counts[-1][2] + links)


def _laid_out(root: Tag, unread: Container[int]) -> str:
    text = _Lines()
    preformatted = 0
    for node, opens in _walk(root, unread):
        if isinstance(node, Tag):
            preformatted += (node.name == "pre") * (1 if opens else -1)
            text.end(_ENDS.get(node.name, 0) if opens or node.name != "br" else 0)
            if opens and node.name == "li":
                text.add("- ")
            elif opens and node.name in {"td", "th"} and text.begun:
                text.add(" | ")
        elif preformatted:
            text.add(str(node))
        else:
            text.add_flowing(_SPACE.sub(" ", _CJK_BREAK.sub("", str(node))))
    return "".join(text.pieces).strip("\n").rstrip()


class _Lines:
    """A text as it grows, with at most one blank line at a time."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._due = 0  # line ends before what is next

    @property
    def begun(self) -> bool:
        """Whether something stands on the line."""
        return bool(self.pieces) and not self._due and not self.pieces[-1].endswith("\n")

    def end(self, newlines: int) -> None:
        self._due = max(self._due, newlines)

    def add(self, text: str) -> None:
        if self._due and self.pieces:
            self.pieces[-1] = self.pieces[-1].rstrip(" ")
            self.pieces.append("\n" * self._due)
        self._due = 0
        self.pieces.append(text)

    def add_flowing(self, text: str) -> None:
        """Text whose spaces at the ends of a line mean nothing."""
        spaced = not self.begun or self.pieces[-1].endswith(" ")
        text = text.lstrip(" ") if spaced else text
        if text:
            self.add(text)


def _walk(root: Tag, unread: Container[int]) -> Iterator[tuple[Tag | NavigableString, bool]]:
    """Every tag when it opens and when it closes, and every text; without recursion, for pages nest deeply."""
    waiting: list[tuple[Tag | NavigableString, bool]] = [(root, True)]
    while waiting:
        node, opens = waiting.pop()
        if isinstance(node, Tag):
            if node is not root and id(node) in unread:
                continue
            yield node, opens
            if opens:
                children = (child for child in reversed(node.contents) if isinstance(child, Tag | NavigableString))
                waiting += [(node, False), *((child, True) for child in children)]
        elif type(node) in (NavigableString, CData):
            yield node, True
