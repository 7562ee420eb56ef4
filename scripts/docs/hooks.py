"""What MkDocs calls: the pages and their order, made from the repository's own files."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from scripts.docs.chapters import chapters, reached, without_folders

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PROJECT = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LIBRARY = ("nba_cli.data", "nba_cli.victims", "nba_cli.training", "nba_cli.defenses", "nba_cli.metrics", "attacks")
"""What code of one's own imports, in the order in which it needs them."""


def others() -> list[Path]:
    """The files that come along: those of the project, and all that a page links to."""
    return [file for file in reached([README, *PROJECT]) if file != README]


def on_config(config: MkDocsConfig) -> None:
    first, *rest = chapters(README.read_text(encoding="utf-8"))
    more = sorted(file for file in others() if file.suffix == ".md" and file not in PROJECT)
    config.nav = [
        {"First steps": first.path},
        {"Guide": [{chapter.title: chapter.path} for chapter in rest]},
        {"Library": [{name: f"api/{name}.md"} for name in LIBRARY]},
        {"Tables and notes": [file.relative_to(ROOT).as_posix() for file in more]},
        {"Project": [file.relative_to(ROOT).as_posix() for file in PROJECT]},
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    for chapter in chapters(README.read_text(encoding="utf-8")):
        files.append(File.generated(config, chapter.path, content=without_folders(chapter.text, ROOT)))
    for name in LIBRARY:
        files.append(File.generated(config, f"api/{name}.md", content=f"# {name}\n\n::: {name}\n"))
    for file in others():
        place = file.relative_to(ROOT).as_posix()
        if file.suffix == ".md":
            text = without_folders(file.read_text(encoding="utf-8"), file.parent)
            files.append(File.generated(config, place, content=text))
        else:
            files.append(File.generated(config, place, abs_src_path=str(file)))
