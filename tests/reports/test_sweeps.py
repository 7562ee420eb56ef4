"""`nba plot x=…`: what is joined, what has an interval, what is refused, what others published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from records import put

from nba_cli.errors import Refused
from nba_cli.reports.mixtures import heads
from nba_cli.reports.sweeps import sweep
from nba_cli.runs import reading


def drawn(root: Path, **given: str) -> list[Any]:
    """The panels of a sweep over these runs."""
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    sweep(reading.read_all(root), given)
    return list(pyplot.gcf().axes)


def bars(axes: Any) -> list[list[float]]:
    """[x, low, high] of the bars of a panel."""
    from matplotlib.collections import LineCollection

    found = [each for each in axes.collections if isinstance(each, LineCollection)]
    return [[points[0][0], points[0][1], points[1][1]] for each in found for points in each.get_segments()]


def band(axes: Any) -> set[float]:
    """The places that the bands of a panel cover."""
    from matplotlib.collections import LineCollection

    found = [each for each in axes.collections if not isinstance(each, LineCollection)]
    covered = [set(path.vertices[:, 0]) for each in found for path in each.get_paths()]
    return {x for places in covered for x in places if len(places) > 1}


def test_a_band_covers_the_places_of_several_victims_only(tmp_path: Path) -> None:
    for beta, seeds in ((1.0, 3), (2.0, 3), (3.0, 1), (5.0, 2)):
        for seed in range(seeds):
            put(tmp_path, f"b{beta}{seed}", "blend", "nba", seed, (0.8 + 0.1 * seed, 0.1, 0.5), defense__beta=beta)
    acc, asr, _ = drawn(tmp_path, x="defense.beta")
    (line,) = [each for each in acc.lines if each.get_label() == "nba"]
    assert line.get_linestyle() != "None"
    assert line.get_xdata().tolist() == [1, 2, 3, 5] and line.get_ydata() == pytest.approx([90, 90, 80, 85])
    assert band(acc) == {1, 2}, "3 has one victim"
    (lone,) = bars(acc)
    assert lone == pytest.approx([5, 85 - 50**0.5, 85 + 50**0.5]), "without neighbours there is no band: a bar"
    (heading,) = [each.get_title().get_text() for each in asr.figure.legends]
    assert heading == "defense: mean ± standard deviation over 1 to 3 victims; one victim has no spread"


def test_one_victim_has_neither_band_nor_bar(tmp_path: Path) -> None:
    for beta in (1.0, 2.0):
        put(tmp_path, f"b{beta}", "blend", "nba", 0, (0.8, 0.1, 0.5), defense__beta=beta)
        put(tmp_path, f"c{beta}", "blend", "nba", 0, (0.7, 0.1, 0.5), defense__beta=beta, defense_seed=1)
    acc = drawn(tmp_path, x="defense.beta")[0]
    assert not band(acc) and not bars(acc)


def test_an_interval_of_shares_ends_at_0_and_100(tmp_path: Path) -> None:
    for seed, asr in enumerate((0.0, 0.1)):
        put(tmp_path, f"b{seed}", "blend", "nba", seed, (1.0, asr, 0.5))
    assert bars(drawn(tmp_path, x="defense")[1]) == [[0, 0, pytest.approx(5 + 50**0.5)]]


def test_words_have_points_and_bars_and_no_line(root: Path) -> None:
    put(root, "w0", "badnets", "nba", 0, (0.7, 0.1, 0.5))
    acc, _, ra = drawn(root, x="defense")
    lines = {each.get_label(): each for each in acc.lines if not each.get_label().startswith("_")}
    assert set(lines) == {"badnets", "blend"}
    assert all(each.get_linestyle() == "None" for each in lines.values())
    assert [each.get_text() for each in ra.get_xticklabels()] == ["none", "ft", "nba"], "in the order of the registry"
    assert lines["badnets"].get_xdata() == pytest.approx([0.8, 1.8]), "beside those of the other line"
    assert lines["blend"].get_xdata() == pytest.approx([0.2, 1.2, 2.2])
    assert sorted(x for x, *_ in bars(acc)) == pytest.approx([0.2, 0.8, 1.2, 2.2]), "none for the one victim"
    assert not band(acc)


def test_true_and_false_are_words(tmp_path: Path) -> None:
    for flag in (True, False):
        put(tmp_path, f"f{flag}", "blend", "nba", 0, (0.8, 0.1, 0.5), defense__mixup=flag)
    acc = drawn(tmp_path, x="defense.mixup")[0]
    assert [each.get_text() for each in acc.get_xticklabels()] == ["false", "true"]


def test_runs_that_differ_in_more_are_refused_and_not_pooled(tmp_path: Path) -> None:
    for beta in (1.0, 2.0):
        for rate in (0.1, 0.05):
            put(tmp_path, f"{beta}{rate}", "blend", "nba", 0, (0.8, 0.1, 0.5), defense__beta=beta, attack__rate=rate)
    with pytest.raises(Refused) as refusal:
        drawn(tmp_path, x="defense.beta")
    said = "x=defense.beta: these runs differ in attack.rate (0.05, 0.1), too. "
    assert str(refusal.value) == f"{said}Choose one value, or set lines=attack.rate."
    acc = drawn(tmp_path, x="defense.beta", lines="attack.rate")[0]
    assert {each.get_label() for each in acc.lines} == {"0.05", "0.1"}
    with pytest.raises(Refused, match=r"differ in attack\.rate"):
        drawn(tmp_path, x="attack", lines="defense.beta")


def test_a_refusal_names_the_part_and_not_all_its_options(tmp_path: Path) -> None:
    put(tmp_path, "one", "blend", "nba", 0, (0.8, 0.1, 0.5), defense__beta=1.0, defense__rate=1.0)
    put(tmp_path, "two", "blend", "ft", 0, (0.8, 0.1, 0.5), defense__beta=1.0, defense__rate=2.0)
    with pytest.raises(Refused, match=r"differ in defense \(nba, ft\), too"):
        drawn(tmp_path, x="defense.beta", lines="attack")
    assert heads(["defense", "defense.train.lr", "defense_seed", "attack.rate"]) == [
        "defense",
        "defense_seed",
        "attack.rate",
    ]


def change(folder: Path, **more: object) -> None:
    """Let a record say more, or something else."""
    file = folder / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def test_the_label_of_a_victim_goes_with_its_options(tmp_path: Path) -> None:
    for depth in (10, 16):
        folder = put(tmp_path, f"d{depth}", "blend", "ft", 0, (0.8, 0.1, 0.5), victim__depth=depth)
        change(folder, victim_label=f"wrn_{depth}_1")
    assert drawn(tmp_path, x="victim.depth")[0].lines[0].get_xdata().tolist() == [10, 16]


def test_victims_and_what_defenses_made_of_them_are_not_pooled(tmp_path: Path) -> None:
    """Both have the settings of their data set: it is the defended ones that are drawn, as in a table."""
    put(tmp_path, "cleaned", "blend", "ft", 0, (0.8, 0.1, 0.5))
    folder = put(tmp_path, "victim", "blend", "ft", 1, (0.1, 1.0, 0.0))
    change(folder, stage="attack")
    (tmp_path / "attack").mkdir()
    folder.rename(tmp_path / "attack" / "victim")
    assert len(reading.read_all(tmp_path)) == 2
    acc = drawn(tmp_path, x="dataset.clean_ratio")[0]
    assert acc.lines[0].get_ydata() == pytest.approx([80])


def test_published_figures_are_hollow_marks_and_their_source_is_named(root: Path) -> None:
    acc, asr, _ = drawn(root, x="defense", compare="published")
    hollow = [each for each in asr.lines if each.get_markerfacecolor() == "none" and len(each.get_xdata())]
    blend = next(each for each in asr.lines if each.get_label() == "blend")
    (ft,) = [each for each in hollow if each.get_ydata() == pytest.approx([96.11])]
    assert ft.get_xdata() == pytest.approx([1.2]) and ft.get_color() == blend.get_color()
    (legend,) = acc.figure.legends
    named = [each.get_text() for each in legend.get_texts()]
    assert "BackdoorBench leaderboard: preactresnet18, 10 %" in named
    assert legend.get_title().get_text().endswith("; hollow: published")


def test_published_figures_over_the_rate_stand_at_their_own(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    put(root, "own", "blend", "ft", 0, (0.8, 0.1, 0.5))
    file = tmp_path / "published.csv"
    rows = "Board,cifar10,resnet18,blended,ft,0.2,90,50,\nBoard,cifar10,resnet18,blended,ft,,80,40,\n"
    file.write_text(f"source,dataset,victim,attack,defense,poison_rate,acc,asr,ra\n{rows}")
    acc = drawn(root, x="attack.rate", compare=str(file))[0]
    hollow = [each for each in acc.lines if each.get_markerfacecolor() == "none" and len(each.get_xdata())]
    assert [(*each.get_xdata(), *each.get_ydata()) for each in hollow] == [(0.2, 90)]


def test_published_figures_that_do_not_fit_are_refused(root: Path) -> None:
    with pytest.raises(Refused, match=r"compare=nothing.csv: cannot be read"):
        drawn(root, x="defense", compare="nothing.csv")
    put(root, "more", "sig", "nba", 7, (0.8, 0.1, 0.5), defense__gamma=1.0)
    with pytest.raises(Refused, match=r"compare=published: published figures say no defense.gamma. Choose x=attack, "):
        drawn(root, x="defense.gamma", compare="published")


def test_nothing_published_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "own", "sig", "nba", 0, (0.8, 0.1, 0.5))
    drawn(tmp_path, x="defense", compare="published")
    assert "compare=published: none of its rows is for these attacks, defenses and data sets" in caplog.text


def test_a_preset_is_a_value_of_its_own_behind_its_kind(tmp_path: Path) -> None:
    """Else the runs of a kind as by default and as selected would be refused, for each setting of the preset."""
    for made in (Path(__file__).parents[2] / "results/six_attacks/defend").glob("*-blend-s1-*"):
        shutil.copytree(made, tmp_path / "defend" / made.name)
    acc, _, ra = drawn(tmp_path, x="defense", compare="published")
    names = [each.get_text() for each in ra.get_xticklabels()]
    assert names[:3] == ["none", "ft", "ft selected"] and len(names) == len(set(names)) >= 17
    assert names[-2:] == ["nba", "nba without_pseudo"]
    places = [line.get_xdata()[0] for line in acc.lines if len(line.get_xdata()) == 1]
    assert places.count(1) == places.count(2) == 1, "what is published of ft stands beside both"
