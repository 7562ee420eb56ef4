"""README's tables, each between two comments, the first of which names the file in results/ that it is copied from.

python -m scripts.readme README.md
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from nba_cli import files

BLOCK = re.compile(r"(<!-- table of (\S+) -->\n)(?:\|.*\n)*(<!-- end of table -->)")


def filled(text: str, root: Path) -> str:
    """The text with each table as its file, below `root`, has it."""
    return BLOCK.sub(lambda found: found[1] + table(root / found[2]) + found[3], text)


def table(file: Path) -> str:
    """The lines of a Markdown file's table, and nothing else of it."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("|"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    files.write(file, filled(file.read_text(encoding="utf-8"), file.parent))
