"""Links and pictures lead somewhere."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT, Page, pages

PAGES = {page.path: page for page in pages()}


def fault_of(page: Page, link: str) -> str | None:
    """What is wrong with a link; None for one that leads somewhere, or out of the repository."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None if parts.scheme in ("http", "https", "mailto") else f"{link} is no address"
    target = (ROOT / page.path).parent / unquote(parts.path) if parts.path else ROOT / page.path
    if not target.exists():
        return f"{link}: no such file"
    there = PAGES.get(str(target.resolve().relative_to(ROOT.resolve())))
    if parts.fragment and there and parts.fragment not in there.anchors:
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_links_lead_somewhere(page: Page) -> None:
    faults = [f"{page.path}:{line}: {fault}" for line, link in page.links if (fault := fault_of(page, link))]
    assert not faults, "\n".join(faults)


def test_a_link_that_leads_nowhere_is_found() -> None:
    readme = PAGES["README.md"]
    assert fault_of(readme, "deploy/nowhere.md")
    assert fault_of(readme, "#no-such-heading")
    assert fault_of(PAGES["deploy/docs/tutorial.md"], "../../README.md#no-such-heading")
    assert not fault_of(readme, "deploy/docs/tutorial.md#3-your-events")
    assert any(link.endswith(".png") for _, link in readme.links)


def test_every_page_is_linked_from_somewhere() -> None:
    """One that nobody finds is none."""
    found = {
        str(((ROOT / page.path).parent / urlsplit(link).path).resolve().relative_to(ROOT.resolve()))
        for page in PAGES.values()
        for _, link in page.links
        if not urlsplit(link).scheme and urlsplit(link).path and not link.startswith("..\\")
        if Path((ROOT / page.path).parent / urlsplit(link).path).exists()
    }
    unlinked = {path for path in PAGES if path.startswith("deploy/docs/")} - found
    assert not unlinked, f"no page links to {', '.join(sorted(unlinked))}"
