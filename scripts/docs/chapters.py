"""README.md and its neighbours -> pages, so that no text exists twice.

A chapter of the README is a page in the root. Every other file has the path on the site that it has in the repository,
so that links between files hold as they are written. Links to a chapter become links to its page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown.extensions.toc import slugify

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Chapter:
    """A page, and the headings that a link may name.

    Fields:
        path: where it stands on the site
        title: its heading
        text: Markdown, from the heading on
    """

    path: str
    title: str
    text: str


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return slugify(heading, "-")


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, level and words of every heading; what a code block holds is none."""
    fenced = False
    for number, line in enumerate(text.splitlines()):
        fenced ^= line.startswith("```")
        if not fenced and (found := re.match(r"(#+) (.*)", line)):
            yield number, len(found[1]), found[2]


def chapters(readme: str) -> list[Chapter]:
    """The README cut before each heading of the second level, and every heading raised by one.

    What stands before the first is the page that a reader meets first.
    """
    lines = readme.splitlines()
    starts = [(0, "")]
    for number, level, words in headings(readme):
        if level > 1:
            lines[number] = lines[number].removeprefix("#")
        if level == 2:
            starts.append((number, words))
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    pages = [("\n".join(lines[start:end]), words) for (start, words), end in zip(starts, ends, strict=True)]
    return [
        Chapter(f"{slug(words)}.md" if words else "index.md", words, linked(with_details(text), readme))
        for text, words in pages
    ]


def with_details(text: str) -> str:
    """Markdown inside of <details> is Markdown on GitHub; on the site it has to be asked for."""
    return text.replace("<details>", '<details markdown="1">')


def places(readme: str) -> dict[str, str]:
    """Anchor in the README -> page, or page#anchor."""
    found, page = {}, "index.md"
    for _, level, words in headings(readme):
        if level == 2:
            page = f"{slug(words)}.md"
        found[slug(words)] = page if level < 3 else f"{page}#{slug(words)}"
    return found


def linked(text: str, readme: str) -> str:
    """Links to an anchor of the README lead to its page; one that leads nowhere stays, for the builder to complain."""
    known = places(readme)

    def place(found: re.Match[str]) -> str:
        target = known.get(found[3].removeprefix("#"), found[3]) if found[3].startswith("#") else found[3]
        return f"{found[1]}[{found[2]}]({target})"

    return LINK.sub(place, text)


def without_folders(text: str, folder: Path) -> str:
    """Links to folders are their words alone, as the site has no page for a folder. `folder` is where the text lies."""
    return LINK.sub(lambda found: found[2] if (folder / found[3]).is_dir() else found[0], text)


def targets(text: str, file: Path) -> Iterator[Path]:
    """The files that the text of `file` links to, links and pictures alike."""
    for found in LINK.finditer(text):
        path = Path(os.path.normpath(file.parent / found[3].partition("#")[0]))
        if found[3][0] != "#" and path.is_file():
            yield path


def reached(files: list[Path]) -> list[Path]:
    """`files` and all that they link to, directly or by another Markdown file."""
    found = dict.fromkeys(files)
    waiting = list(files)
    while waiting:
        file = waiting.pop(0)
        if file.suffix == ".md":
            new = [path for path in targets(file.read_text(encoding="utf-8"), file) if path not in found]
            found |= dict.fromkeys(new)
            waiting += new
    return list(found)
