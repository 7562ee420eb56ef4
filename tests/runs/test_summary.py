"""The tables that a stage and a sweep end with."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from nba_cli.runs import record, summary

FIGURES = {"acc": 0.8642, "asr": 0.9997, "ra": 0.0003, "triggered": 9000}


def text_of(table: object, width: int = 200) -> list[list[str]]:
    console = Console(width=width, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    console.file.close()
    return [line.split() for line in console.export_text().splitlines()]


def test_before_and_after_in_percent() -> None:
    lines = text_of(summary.figures([("before", FIGURES, None), ("after", FIGURES | {"asr": 0.02}, 12.34)], 0.9898))
    assert lines[0] == ["ACC", "ASR", "RA", "DER", "seconds"]
    assert lines[1] == ["before", "86.42", "99.97", "0.03"]
    assert lines[2] == ["after", "86.42", "2.00", "0.03", "98.98", "12.3"]


def test_a_victim_has_no_der() -> None:
    lines = text_of(summary.figures([("victim", FIGURES, 12.34)]))
    assert lines[0] == ["ACC", "ASR", "RA", "seconds"] and lines[1] == ["victim", "86.42", "99.97", "0.03", "12.3"]


def settings(**changes: object) -> dict[str, object]:
    return {"dataset": {"kind": "cifar10"}, "attack": {"kind": "blend"}, "seed": 0} | changes


def finished(folder: Path, defense: str | None, **changes: object) -> Path:
    found = {
        "schema": 1,
        "stage": "defend" if defense else "attack",
        "settings": settings(**({"defense": {"kind": defense}} if defense else {})),
        "victim_label": "wrn_16_1",
        "figures": FIGURES,
        "der": 0.5 if defense else None,
        "seconds": {"train": 100.0, **({"defense": 7.0} if defense else {})},
        "precision": "bf16",
        "counts": {},
        "made": {"date": "2026-01-02T03:04", "commit": "abc", "processor": "CPU X", "threads": 2, "torch": "2"},
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(found | changes))
    return folder


def test_side_by_side_leaves_out_what_is_the_same_everywhere(tmp_path: Path) -> None:
    folders = [finished(tmp_path / name, name) for name in ("none", "nba")]
    lines = text_of(summary.side_by_side(folders))
    assert lines[1] == ["attack", "defense", "ACC", "ASR", "RA", "DER", "seconds"]
    assert lines[2] == ["blend", "none", "86.42", "99.97", "0.03", "50.00", "7.0"]
    for folder, beta in zip(folders, (1.0, 2.0), strict=True):
        record = json.loads((folder / "metrics.json").read_text())
        record["settings"]["defense"] = {"kind": "nba", "beta": beta}
        (folder / "metrics.json").write_text(json.dumps(record))
    lines = text_of(summary.side_by_side(folders))
    assert lines[1][-1] == "varied" and [line[-1] for line in lines[2:]] == ["defense.beta=1.0", "defense.beta=2.0"]


def test_what_was_varied_is_shown_as_it_is_though_rich_has_a_meaning_for_it(tmp_path: Path) -> None:
    """[response] would be a style, and [/x] would end one that nobody began."""
    given = [{"behavior": ["response"], "key": "/a[/x]b.png"}, {"behavior": ["learning"], "key": "/c.png"}]
    folders = [
        finished(tmp_path / str(number), "nba", settings=settings(defense={"kind": "nba"} | options))
        for number, options in enumerate(given)
    ]
    lines = text_of(summary.side_by_side(folders))
    assert [line[-2:] for line in lines[2:]] == [
        ["defense.behavior=[response]", "defense.key=/a[/x]b.png"],
        ["defense.behavior=[learning]", "defense.key=/c.png"],
    ]


def test_side_by_side_keeps_figures_whole_where_there_is_little_room(tmp_path: Path) -> None:
    figures = {"acc": 1.0, "asr": 1.0, "ra": 1.0}
    varied = {
        "dataset": {"kind": "an_image_folder", "clean_ratio": 0.05},
        "attack": {"kind": "a_trigger_of_mine", "alpha": 0.1},
        "defense": {"kind": "a_defense_of_mine", "beta": 0.25, "gamma": 0.125},
    }
    other = {"settings": varied | {"seed": 1}, "figures": figures, "seconds": {"defense": 123456.7}}
    nba = {"kind": "a_defense_of_mine", "beta": 0.5, "gamma": 1.0}
    third = other | {"settings": varied | {"seed": 2, "defense": nba}, "victim_label": "my_network"}
    folders = [finished(tmp_path / "a", "ft"), finished(tmp_path / "b", "x", **other)]
    folders.append(finished(tmp_path / "c", "x", **third))
    words = [word for line in text_of(summary.side_by_side(folders), 80) for word in line]
    assert words.count("100.00") == 6 and words.count("123456.7") == 2 and "seconds" in words
    assert not any("…" in word for word in words)


def test_settings_as_one_writes_them() -> None:
    assert [record.to_text(value) for value in (None, True, [1, "a"], 0.5)] == ["null", "true", "[1,a]", "0.5"]
