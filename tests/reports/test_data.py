"""Tables for programs: CSV, JSON and pandas."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from records import HOSTILE, put

from nba_cli import reports
from nba_cli.errors import Refused
from nba_cli.reports import table
from nba_cli.reports.composition import compose
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.formats.data import cell_of
from nba_cli.reports.published import COLUMNS
from nba_cli.reports.request import Request


def of_format(name: str, root: Path, **asked: str) -> str:
    return FORMATS[name](*compose(Request(output=str(root), **asked), {}))


def csv_rows(root: Path, **asked: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(of_format("csv", root, **asked))))


def test_csv_has_a_row_a_line_in_percent(root: Path) -> None:
    rows = csv_rows(root, against="ft")
    assert list(rows[0])[:13] == [*COLUMNS, "n", "options", "best", "runs"]
    (own,) = [row for row in rows if (row["attack"], row["defense"]) == ("blend", "nba")]
    assert own["source"] == "nba" and own["dataset"] == "cifar10" and own["victim"] == "wrn_16_1"
    assert (own["poison_rate"], own["acc"], own["asr"], own["n"]) == ("0.1", "87.5", "2.0", "3")
    assert (own["best"], own["runs"], own["der"], own["seconds"]) == ("asr ra", "b0 b1 b2", "50.0", "7.0")
    assert float(own["acc_std"]) == pytest.approx(0.5) and own["acc_n"] == own["asr_pairs"] == "3"
    assert float(own["asr_difference"]) == pytest.approx(-29) and float(own["asr_low"]) < -29 < float(own["asr_high"])
    (lacking,) = [row for row in rows if (row["attack"], row["defense"]) == ("badnets", "nba")]
    assert (lacking["n"], lacking["acc"], lacking["runs"]) == ("0", "", "")


def test_csv_names_rows_and_cols_and_what_else_tells_lines_apart(root: Path) -> None:
    put(root, "p", "blend", "anp", 0, (0.9, 0.5, 0.5), attack__alpha=0.3)
    put(root, "q", "blend", "anp", 0, (0.9, 0.4, 0.5), attack__alpha=0.2)
    found = [row for row in csv_rows(root, rows="defense", cols="dataset,attack") if row["defense"] == "anp"]
    told = {(row["attack"], row["options"], row["asr"]) for row in found if row["n"] == "1"}
    assert told == {("blend", "attack.alpha=0.2", "40.0"), ("blend", "attack.alpha=0.3", "50.0")}
    assert {row["attack.rate"] for row in csv_rows(root, rows="attack.rate", cols="defense,attack")} == {"0.1"}


def test_our_csv_can_be_given_to_compare(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    table.main([f"output={root}", f"file={file}"])
    text = of_format("markdown", root, compare=str(file))
    assert "| blend | nba | 3 | 87.50 ± 0.50 | 2.00 ± 0.00 * |" in text
    assert "| blend | (nba) nba: wrn_16_1, 10 % | — | 87.50 | 2.00 | 80.00 |" in text


def test_json_has_a_row_a_run(root: Path) -> None:
    rows = json.loads(of_format("json", root, figures="asr"))
    assert len(rows) == 12 and len({tuple(row) for row in rows}) == 1, "all with the same columns"
    (own,) = [row for row in rows if row["run"] == "b1"]
    assert {name: own[name] for name in COLUMNS} == {
        "source": "nba", "dataset": "cifar10", "victim": "wrn_16_1", "attack": "blend", "defense": "nba",
        "poison_rate": 0.1, "acc": 87.5, "asr": 2.0, "ra": 80.0,
    }  # fmt: skip
    assert (own["der"], own["seconds"], own["stage"], own["seed"], own["commit"]) == (50.0, 7.0, "defend", 1, "abc")
    assert own["dataset.clean_ratio"] == 0.05 and own["counts.test"] == 10000
    assert own["floor"] is None and "attack.rate" not in own and "figures.acc" not in own


def test_fewer_passes_and_less_memory_are_better(root: Path) -> None:
    for number, file in enumerate(root.glob("defend/*/metrics.json")):
        found = json.loads(file.read_text())
        much = 100 if found["settings"]["defense"]["kind"] == "ft" else 10
        costs = {"passes": {"forward": 5 * much + number, "backward": much}, "memory": {"process": 7 * much + number}}
        file.write_text(json.dumps(found | costs))
    figures = "forward,backward,memory.process"
    starred = {(row["attack"], row["defense"]): row["best"] for row in csv_rows(root, figures=figures) if row["best"]}
    assert starred == {("blend", "nba"): "forward backward memory.process"}
    (own,) = [row for row in json.loads(of_format("json", root)) if row["run"] == "f1"]
    assert own["backward"] == 100 and 500 <= own["forward"] < 520 and 700 <= own["memory.process"] < 720


def test_json_has_no_word_for_what_is_not_finite(root: Path) -> None:
    file = put(root, "same", "blend", "sau", 0, (0.9, 0.5, 0.5)) / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"trigger": {"psnr": float("inf")}}))
    assert "Infinity" in file.read_text()
    assert all(row["trigger.psnr"] is None for row in json.loads(of_format("json", root), parse_constant=pytest.fail))


def test_a_spreadsheet_computes_nothing_that_records_say(hostile: tuple) -> None:
    for row in csv.reader(io.StringIO(FORMATS["csv"](*hostile))):
        assert all(cell[:1] not in ("=", "+", "@") for cell in row), row
    (own, *_) = list(csv.DictReader(io.StringIO(FORMATS["csv"](*hostile))))
    assert own["defense"] == f"'{HOSTILE}" and own["runs"] == "'=run"
    assert cell_of("-0.5") == "-0.5" and cell_of(-0.5) == -0.5 and cell_of("-x") == "'-x", "numbers stay numbers"
    assert cell_of("\t=x") == "'\t=x", "a spreadsheet skips the blanks before a formula"


@pytest.mark.parametrize("name", ["table.csv", "table.json"])
def test_files_of_our_own_are_replaced_and_those_of_others_are_not(root: Path, tmp_path: Path, name: str) -> None:
    words = [f"output={root}", f"file={tmp_path / name}"]
    table.main(words)
    table.main(words)
    (tmp_path / name).write_text(",".join(COLUMNS) + "\nBoard,cifar10,resnet18,blend,ft,0.01,90,50,\n")
    with pytest.raises(Refused, match=r"nba did not write it. Add overwrite=true"):
        table.main(words)


BEFORE, AFTER = "Of the user's.\n<head></head>\n", "\nMore of the user's.\n"


@pytest.mark.parametrize("name", ["table.md", "table.tex", "table.html", "table.csv", "table.json"])
@pytest.mark.parametrize("around", [(BEFORE, AFTER), (BEFORE, ""), ("", AFTER), ("# Mine\n\n", "")])
def test_a_document_that_holds_a_table_is_not_a_file_of_our_own(
    root: Path, tmp_path: Path, name: str, around: tuple[str, str]
) -> None:
    if name == "table.csv" and not around[0]:
        pytest.skip("lines below ours are lines of the table")
    words = [f"output={root}", f"file={tmp_path / name}"]
    table.main(words)
    table.main(words)
    ours = (tmp_path / name).read_text()
    (tmp_path / name).write_text(ours.join(around))
    with pytest.raises(Refused, match=r"nba did not write it. Add overwrite=true"):
        table.main(words)


def test_a_json_table_without_runs_is_replaced_too(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    for _ in range(2):
        table.main([f"output={tmp_path / 'none'}", "experiment=six_attacks", f"file={file}"])
        assert file.read_text() == "[]\n"
    table.main([f"output={root}", f"file={file}"])
    assert len(json.loads(file.read_text())) == 12
    file.write_text("[]")
    with pytest.raises(Refused, match="nba did not write it"):
        table.main([f"output={root}", f"file={file}"])


def test_a_frame_has_a_row_a_run(root: Path) -> None:
    pytest.importorskip("pandas")
    frame = reports.frame(root)
    assert len(frame) == 12 and list(frame.columns[:9]) == list(COLUMNS)
    assert frame[frame.attack == "blend"].groupby("defense").asr.mean().to_dict() == pytest.approx(
        {"ft": 31.0, "nba": 2.0, "none": 100.0}
    )
    with pytest.raises(Refused, match="no such folder"):
        reports.frame(root / "nowhere")


def test_without_pandas_a_frame_says_how_to_get_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(Refused, match=r"pip install -e '\.\[frame\]'"):
        reports.frame(root)


def test_importing_reports_stays_cheap() -> None:
    code = "import sys, nba_cli.reports; print(sorted(name for name in sys.modules if name.startswith('nba_cli')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['nba_cli', 'nba_cli.reports']"


def test_a_frame_needs_no_other_import_before_it(root: Path) -> None:
    pytest.importorskip("pandas")
    code = f"from nba_cli.reports import frame; print(len(frame({str(root)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("12", "")
