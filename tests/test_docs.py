"""The pages of `make docs`: how the README is cut, where its links lead, how docstrings are read."""

from __future__ import annotations

from pathlib import Path

import griffe

from scripts.docs import hooks
from scripts.docs.chapters import chapters, reached, without_folders
from scripts.docs.docstrings import House, markdown

README = """# tool

Begin; see [the end](#the-end) and [its part](#a-part).

## First things

```python
## no heading
```

<details>
[a file](notes/a.md)
</details>

## The end

### A part

[back](#first-things), ![picture](b.png), [away](https://example.org)
"""


def test_a_chapter_is_a_page_and_links_to_it_find_it() -> None:
    start, first, end = chapters(README)
    assert [page.path for page in (start, first, end)] == ["index.md", "first-things.md", "the-end.md"]
    assert start.text.splitlines()[0] == "# tool"
    assert "[the end](the-end.md) and [its part](the-end.md#a-part)" in start.text
    assert first.text.startswith("# First things\n") and "\n## no heading\n" in first.text
    assert '<details markdown="1">' in first.text
    assert end.text.startswith("# The end\n\n## A part\n")
    assert end.text.endswith("[back](first-things.md), ![picture](b.png), [away](https://example.org)")


def test_an_anchor_that_is_none_stays_for_the_builder_to_refuse() -> None:
    assert "](#nowhere)" in chapters("# tool\n[x](#nowhere)")[0].text


def test_what_pages_link_to_comes_along_and_folders_become_words(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("[notes](notes), [a](notes/a.md#part), [none](none.md), [here](#here)")
    (tmp_path / "notes" / "a.md").write_text("[table](../table.csv) and [back](../README.md)")
    (tmp_path / "table.csv").touch()
    found = reached([tmp_path / "README.md"])
    assert [file.relative_to(tmp_path).as_posix() for file in found] == ["README.md", "notes/a.md", "table.csv"]
    text = without_folders((tmp_path / "README.md").read_text(), tmp_path)
    assert text == "notes, [a](notes/a.md#part), [none](none.md), [here](#here)"


def test_every_chapter_of_the_readme_has_a_page_of_its_own() -> None:
    readme = hooks.README.read_text(encoding="utf-8")
    pages = chapters(readme)
    assert len(pages) > 10 and len({page.path for page in pages}) == len(pages)
    assert sum(len(page.text.split("\n")) for page in pages) == len(readme.splitlines()), "no line is lost"


def test_a_docstring_keeps_its_signs_and_its_code() -> None:
    text = "x* in <class>/*, `a*b`\n\n    code*\n\nFields:\n    a: of <n>"
    assert markdown(text) == "x&#42; in &lt;class>/&#42;, `a*b`\n\n    code*\n\nArgs:\n    a: of &lt;n>"


def test_fields_are_shown_with_the_values_that_they_have_by_default(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text('''
from dataclasses import dataclass, field
from nba_cli import domains, options

@dataclass(kw_only=True)
class Part:
    """A part.

    Fields:
        rate: a share
    """

    rate: float = domains.within(0.1, "(0,1]")
    seed: int = options.seed("attack")
    place: str = options.idle("runs")
    plan: dict = field(default_factory=lambda: dict(a=1))
    free: dict = field(default_factory=dict)
    plain: int = 3
''')
    extensions = griffe.load_extensions(House)
    part = griffe.load("part", search_paths=[tmp_path], extensions=extensions)["Part"]
    shown = {one.name: str(one.default) for one in part.parameters if one.name != "self"}
    assert shown == {"rate": "0.1", "seed": "0", "place": "'runs'", "plan": "dict(a=1)", "free": "dict()", "plain": "3"}
    _, fields = part.docstring.parse("google")
    assert [(one.name, one.description, str(one.default)) for one in fields.value] == [("rate", "a share", "0.1")]
