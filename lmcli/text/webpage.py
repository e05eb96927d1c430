"""Web pages: the text of an HTML page that a person reads it for, without its navigation."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup, CData, NavigableString, Tag, XMLParsedAsHTMLWarning

from lmcli.text.boundary import CJK

_UNREAD = (
    "script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "form", "button", "select",
    "dialog", "nav", "aside", "footer", "head",
)  # fmt: skip
_UNREAD_ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "dialog", "menu", "menubar"}
_LISTS = ("ul", "ol", "table", "div", "section", "p", "dl")
_BLOCKS = {
    "address", "article", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "main", "ol", "p", "pre", "section",
    "summary", "table", "caption", "ul",
}  # fmt: skip
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
    for tag in [tag for tag in soup.find_all(True) if _is_unread(tag)]:
        tag.decompose()
    root = _main(soup)
    for tag in [tag for tag in root.find_all(_LISTS) if _is_menu(tag)]:
        tag.decompose()
    text = _laid_out(root)
    return f"{title}\n\n{text}" if title and text and not root.find("h1") else text


def _is_unread(tag: Tag) -> bool:
    if tag.decomposed:  # with the tag around it
        return False
    if tag.name in _UNREAD or tag.get("role") in _UNREAD_ROLES or tag.has_attr("hidden"):
        return True
    # The head of an article holds its title, the head of a site its name and a menu.
    return tag.get("aria-hidden") == "true" or (tag.name == "header" and not tag.find("h1"))


def _main(soup: BeautifulSoup) -> Tag:
    """The one element that is marked as the main text and holds enough of it, else the body."""
    body = soup.body or soup
    for found in (soup.select("main, [role=main]"), soup.find_all("article")):
        if len(found) == 1 and len(found[0].get_text()) >= _MAIN_SHARE * len(body.get_text()):
            return found[0]
    return body


def _is_menu(tag: Tag) -> bool:
    if tag.decomposed:
        return False
    links = tag.find_all("a", limit=200)
    if len(links) < _LINKS:
        return False
    own = len(tag.get_text("", strip=True))
    return sum(len(link.get_text("", strip=True)) for link in links) >= _LINK_SHARE * own


def _laid_out(root: Tag) -> str:
    text: list[str] = ["\n\n"]
    for node, opens in _walk(root):
        if isinstance(node, Tag):
            text.append(_break(node, opens, text[-1]))
        elif node.find_parent("pre"):
            text.append(str(node))
        else:
            text.append(_SPACE.sub(" ", _CJK_BREAK.sub("", str(node))))
    joined = re.sub(
        r" ?\n ?(?=\S)|[ \t]+(?=\n)", lambda found: found[0].replace(" ", "").replace("\t", ""), "".join(text)
    )
    return re.sub(r"\n{3,}", "\n\n", joined).strip()


def _break(tag: Tag, opens: bool, before: str) -> str:
    """What stands in the text where a tag opens or closes."""
    if tag.name == "br":
        return "\n" if opens else ""
    if tag.name == "li":
        return "\n- " if opens else "\n"
    if tag.name == "tr":
        return "\n" if opens else ""
    if tag.name in {"td", "th"}:
        return " | " if opens and tag.find_previous_sibling(("td", "th")) else ""
    return "\n\n" if tag.name in _BLOCKS else ""


def _walk(root: Tag) -> Iterator[tuple[Tag | NavigableString, bool]]:
    """Every tag when it opens and when it closes, and every text; without recursion, for pages nest deeply."""
    waiting: list[tuple[Tag | NavigableString, bool]] = [(root, True)]
    while waiting:
        node, opens = waiting.pop()
        if isinstance(node, Tag):
            yield node, opens
            if opens:
                waiting.append((node, False))
                waiting += [
                    (child, True) for child in reversed(node.contents) if isinstance(child, Tag | NavigableString)
                ]
        elif type(node) in (NavigableString, CData):
            yield node, True
