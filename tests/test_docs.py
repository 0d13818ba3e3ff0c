"""Links in the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def test_every_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    assert ROOT / "README.md" in PAGES
    broken = [f"{page.relative_to(ROOT)}: {link}" for page in PAGES for link in _links(page) if not _leads(page, link)]
    assert not broken


def test_a_heading_is_linked_as_github_does() -> None:
    assert _anchors("# A, b: c's (d)\n\n## What `x_y` is – now\n## Two\n## Two\n") == {
        "a-b-cs-d",
        "what-x_y-is--now",
        "two",
        "two-1",
    }


def _links(page: Path) -> list[str]:
    links = _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    return [link for link in links if "://" not in link]


def _leads(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in _anchors(target.read_text(encoding="utf-8")))


def _anchors(text: str) -> set[str]:
    anchors: set[str] = set()
    for title in re.findall(r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        twice = sum(a == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", a) is not None for a in anchors)
        anchors.add(f"{anchor}-{twice}" if twice else anchor)
    return anchors
