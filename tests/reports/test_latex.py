"""LaTeX: what is written, and that it compiles without running off the page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from records import put

from nba_cli.reports.composition import compose
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.formats.latex import escape, figures
from nba_cli.reports.request import Request, label_of

OWN = Path(__file__).parents[2] / "results"


def latex(root: Path, filters: dict[str, list[str]] | None = None, **asked: str) -> str:
    return FORMATS["latex"](*compose(Request(output=str(root), **asked), filters or {}))


def test_text_is_escaped_and_the_best_is_bold() -> None:
    assert escape("50 % of a_b & #1 <x> | y") == r"50 \% of a\_b \& \#1 \textless{}x\textgreater{} \textbar{} y"
    assert escape("[learning]").startswith("{["), "not the length behind a row"
    assert figures("1.50 * / 20.00 ± 0.10") == r"\textbf{1.50} / 20.00 $\pm$ 0.10", "figure by figure"


def test_a_short_table_floats_with_caption_and_label(root: Path) -> None:
    text = latex(root, title="ASR of 3 defenses, 5 % clean")
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1 and "longtable" not in text
    assert r"\caption{ASR of 3 defenses, 5 \% clean. ACC, ASR, RA, DER in percent; mean $\pm$" in text
    assert r"\label{tab:asr-of-3-defenses-5-clean}" in text
    assert r"\caption{Which is best? ACC" in latex(root, title="Which is best?")
    assert "Bold is better than every other defense" in text, "something is"
    assert "Bold" not in latex(root, {"attack": ["badnets"]}), "nothing is"
    assert r"\emph{average of 2}" in text


def test_tables_without_a_title_have_labels_of_their_own(root: Path) -> None:
    every = [
        latex(root),
        latex(root, {"attack": ["blend"]}),
        latex(root, {"attack": ["badnets"]}),
        latex(root, layout="matrix"),
        latex(root, layout="matrix", figures="asr"),
        latex(root, layout="matrix", rows="defense", cols="attack"),
        latex(root, against="ft"),
        latex(OWN / "seed_0"),
        latex(OWN / "seed_0", stage="attack"),
        latex(root, title="结果"),
    ]
    found = [label for text in every for label in re.findall(r"\\label{(.*?)}", text)]
    assert len(set(found)) == len(every) - 1, "a title without a letter that a label takes is none"
    assert all(re.fullmatch(r"tab:results-(defend|attack)-output-[a-z0-9-]*[a-z0-9]", label) for label in found), found
    assert label_of(Request(output="a/b/demo"), "defend", {}) == "results-defend-output-demo"
    filters, turned = {"seed": ["0", "1"], "attack": ["blend"]}, {"attack": ["blend"], "seed": ["0", "1"]}
    assert label_of(Request(), "defend", filters) == label_of(Request(), "defend", turned)
    assert label_of(Request(layout="matrix"), "defend", filters) == "results-defend-layout-matrix-attack-blend-seed-0-1"


def test_a_long_table_goes_on_over_pages_and_says_what_it_needs(tmp_path: Path) -> None:
    for number in range(50):
        put(tmp_path, f"r{number}", "blend", "nba", 0, (0.9, 0.1, 0.5), defense__beta=number)
    text = latex(tmp_path)
    assert "table*" not in text and text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    assert r"% \usepackage{array,booktabs,longtable}" in text
    assert text.count(r"\caption") == text.count(r"\label") == 1
    assert all(f"defense.beta={number} &" in text for number in range(50))


def test_columns_that_do_not_fit_stand_below(root: Path) -> None:
    text = latex(root, against="ft", figures="acc,asr")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    for block in re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in block[1].splitlines() if " & " in line]
        assert {line.count(" & ") + 1 for line in rows} == {len(block[0])}
    assert r"-29.00 {[}-31.48, -26.52]" in text


def test_what_records_say_stays_within_its_cells(hostile: tuple) -> None:
    lines = FORMATS["latex"](*hostile).splitlines()
    assert sum(line.startswith(r"\end{tabular}") for line in lines) == 1
    assert all(line.startswith((r"\caption", "%")) for line in lines if "injected" in line)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("size", ["10pt", "12pt"])
def test_tables_compile_and_fit_their_page(root: Path, hostile: tuple, tmp_path: Path, size: str) -> None:
    every = [
        latex(root, against="ft"),
        latex(root, layout="matrix"),
        latex(OWN / "seed_0", stage="attack"),
        latex(OWN / "seed_0", against="nba", compare="published"),
        latex(OWN / "seed_0", layout="matrix"),
        latex(OWN / "seed_0", layout="matrix", rows="defense", cols="attack"),
        latex(OWN / "selection"),
        FORMATS["latex"](*hostile),
    ]
    head = rf"\documentclass[{size}]{{article}}\usepackage{{array,booktabs,longtable}}\begin{{document}}"
    (tmp_path / "paper.tex").write_text("\n".join([head, *every, r"\end{document}"]), encoding="utf-8")
    for _ in range(3):  # longtable learns its widths from the last run
        words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert (tmp_path / "paper.pdf").is_file()
    assert "Overfull" not in log and "too large" not in log, [line for line in log.splitlines() if "Overfull" in line]
