"""The pages that people read, as Markdown has them: blocks, headings, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"node_modules", ".venv", ".interest", "images"}
_HTML_LINK = re.compile(r"""(?:src|srcset|href)=["']([^"']+)["']""")
_NOT_RUN = re.compile(r"<!--\s*not checked:\s*(?P<why>.+?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: relative to the repository.
        heading: the nearest one above.
        line: in the page, from 1.
        language: of a fence; `sh` of an indented block; empty where a fence does not say.
        unchecked: why it is not even read, from `<!-- not checked: why -->` right before it.
    """

    page: str
    heading: str
    line: int
    language: str
    text: str
    unchecked: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass
class Page:
    """What is on a page; `anchors` are those of its headings, as GitHub makes them."""

    path: str
    blocks: list[Block] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    links: list[tuple[int, str]] = field(default_factory=list)


@cache
def pages() -> tuple[Page, ...]:
    """All of them: what lies at the top, in `model_store/` and anywhere in `deploy/`."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("model_store/*.md"), *ROOT.glob("deploy/**/*.md")]
    return tuple(_read(path) for path in sorted(found) if not ELSEWHERE & set(path.relative_to(ROOT).parts))


def blocks() -> list[Block]:
    return [block for page in pages() for block in page.blocks]


def _read(path: Path) -> Page:
    page = Page(str(path.relative_to(ROOT)))
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
    heading, unchecked = "", None
    for place, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "heading_open":
            heading = tokens[place + 1].content
            page.anchors.add(_anchor(heading, page.anchors))
        if token.type in ("fence", "code_block"):
            language = token.info.split()[0] if token.info.strip() else "sh" if token.type == "code_block" else ""
            page.blocks.append(Block(page.path, heading, line, language, token.content, unchecked))
        page.links += [(line, link) for link in _links(token)]
        marker = _NOT_RUN.search(token.content) if token.type == "html_block" else None
        unchecked = marker["why"] if marker else None
    return page


def _links(token: Token) -> Iterator[str]:
    if token.type in ("html_block", "html_inline"):
        yield from _HTML_LINK.findall(token.content)
    for child in token.children or ():
        for name in ("href", "src"):
            link = child.attrGet(name)
            if isinstance(link, str):
                yield link
        yield from _links(child)


def _anchor(heading: str, taken: set[str]) -> str:
    """Lower case, spaces as hyphens, no punctuation; a number where it is there already."""
    anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    number = 1
    while (numbered := anchor if number == 1 else f"{anchor}-{number - 1}") in taken:
        number += 1
    return numbered
