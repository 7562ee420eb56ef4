"""Finished runs as rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import put

from nba_cli.defenses import NBA
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.request import Request
from nba_cli.runs import reading, record

REAL = Path(__file__).parents[2] / "results" / "seed_0"


def test_a_record_of_another_version_gets_no_default_of_today(tmp_path: Path) -> None:
    put(tmp_path, "old", "blend", "nba", 0, (0.5, 0.5, 0.5), defense__version=NBA.version - 1)
    put(tmp_path, "new", "blend", "nba", 1, (0.5, 0.5, 0.5), defense__version=NBA.version)
    new, old = reading.read_all(tmp_path)
    assert new.get("defense.source") == "tuned" and old.get("defense.source") is None


def test_runs_that_differ_in_seeds_alone_share_their_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are neither read into a dict of their own nor compared one by one."""
    for seed in range(20):
        put(tmp_path, f"f{seed}", "blend", "ft", seed, (0.5, 0.5, 0.5), dataset__clean_seed=seed % 2)
        put(tmp_path, f"n{seed}", "blend", "nba", seed, (0.5, 0.5, 0.5))
    made: list[str] = []
    usual = reading.recipe
    monkeypatch.setattr(reading, "recipe", lambda settings, *more: made.append("") or usual(settings, *more))
    found = reading.read_all(tmp_path)
    assert len(found) == 40 and len(made) == len(record.distinct(each.recipe for each in found)) == 2
    assert len(record.distinct(each.origin for each in found)) == 1
    assert [(each.get("seed"), each.settings["dataset.clean_seed"]) for each in found[:3]] == [(0, 0), (1, 1), (10, 0)]
    assert found[1].seeds == (1, 0, 1) and found[1].victim_seed == 1
    texts: list[object] = []
    monkeypatch.setattr(record, "to_text", lambda value: texts.append(value) or str(value))
    two = record.differing([found[0], found[20]])
    once = len(texts)
    assert record.differing(found) == two and two["defense"] == ["ft", "nba"] and len(texts) == 2 * once


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), (0.0, False), ("1", 1), (None, "null")])
def test_what_only_looks_alike_is_not_shared(tmp_path: Path, values: tuple) -> None:
    for number, value in enumerate(values):
        put(tmp_path, f"f{number}", "blend", "ft", 0, (0.5, 0.5, 0.5), defense__beta=value)
    found = reading.read_all(tmp_path)
    assert [each.get("defense.beta") for each in found] == list(values)
    assert [type(each.get("defense.beta")) for each in found] == [type(value) for value in values]


def test_a_table_of_shared_settings_is_that_of_settings_of_their_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        put(root, f"s{seed}", "sig", "nba", seed, (0.7, 0.1, 0.5), defense__beta=1.0 + seed % 2, commit=f"c{seed}")
        put(root, f"w{seed}", "wanet", "nba", 0, (0.7, 0.1 * seed, 0.5), dataset__clean_seed=seed, defense_seed=seed)
    request = Request(output=str(root), against="ft")

    def pages() -> list[str]:
        report, layout = compose_table(request, {})
        return [form(report, layout) for form in FORMATS.values()]

    shared = pages()
    monkeypatch.setattr(reading, "read", lambda folders: [reading.read_one(out) for out in folders])
    assert pages() == shared and "defense.beta=2.0" in shared[0] and "c1" in shared[0]


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Dotted path -> what stands there."""
    if not isinstance(value, dict):
        return {path: value}
    return {name: found for key, inner in value.items() for name, found in leaves(inner, f"{path}.{key}").items()}


def test_every_setting_and_number_of_a_record_is_found_by_its_path() -> None:
    found = [*reading.read_all(REAL, ["defend"]), *reading.read_all(REAL, ["attack"])]
    assert found and len(found) == len(list(REAL.glob("*/*/metrics.json"))), "all records of results/"
    for each in found:
        for path, value in leaves(json.loads((each.folder / "metrics.json").read_text())).items():
            place, _, name = path[1:].partition(".")
            if place == "settings" and name not in ("precision", "victim.kind"):  # resolved; the victim has a label
                assert each.get(name.removesuffix(".kind")) == each.settings[name.removesuffix(".kind")] == value, name
            if isinstance(value, (int, float)):
                assert each.figure(path[1:]) == value, path
        assert each.figure("digests.train") is None and each.figure("figures") is None


def test_an_older_record_had_its_defaults(tmp_path: Path) -> None:
    put(tmp_path, "f", "blend", "ft", 4, (0.5, 0.5, 0.5))
    (found,) = reading.read_all(tmp_path)
    assert found.get("tune") is False and found.get("attack.alpha") == 0.1 and found.get("seed") == 4
    assert found.get("defense.version") == 1 and found.get("no.such") is None and "no.such" not in found.settings
