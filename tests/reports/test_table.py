"""`nba table`: what it groups, compares, marks, misses and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import put

from nba_cli.errors import Refused
from nba_cli.reports import table
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.filters import is_among
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.report import Line, Report
from nba_cli.reports.request import Request
from nba_cli.runs.declared import declared


def report(root: Path, **changes: str) -> Report:
    return compose_table(Request(output=str(root), **changes), {})[0]


def line(report: Report, section: str, label: str) -> Line:
    return next(each for s in report.sections if s.label == section for each in s.lines if each.label == label)


def test_groups_by_attack_and_defense_with_mean_and_deviation_over_seeds(root: Path) -> None:
    made = report(root)
    assert [section.label for section in made.sections] == ["badnets", "blend"], "in the order of the registry"
    assert [each.label for each in made.sections[1].lines] == ["none", "ft", "nba"]
    found = line(made, "blend", "ft")
    assert found.n == 3 and found.cells["acc"].summary.mean == pytest.approx(0.87)
    assert found.cells["acc"].summary.std == pytest.approx(0.01)
    assert found.cells["seconds"].summary.mean == 7.0


def test_only_what_is_better_beyond_doubt_is_marked(root: Path) -> None:
    made = report(root)
    best = {(each.label, figure) for each in made.sections[1].lines for figure in each.cells if each.cells[figure].best}
    assert best == {("nba", "asr"), ("nba", "ra")}, "ACC is a tie, and no defense is no candidate"
    assert not any(cell.best for each in made.sections[0].lines for cell in each.cells.values()), "alone is not better"


def test_differences_are_paired_by_seed(root: Path) -> None:
    gap = line(report(root, against="ft"), "blend", "nba").cells["asr"].difference
    assert gap is not None and gap.n == 3 and gap.mean == pytest.approx(-0.29)
    assert gap.low is not None and gap.low == pytest.approx(-0.29 - 4.30265 * 0.01 / 3**0.5, abs=1e-6)


def test_repetitions_on_one_victim_count_once(root: Path) -> None:
    for seed in range(3):
        put(root, f"r{seed}", "blend", "nba", seed, (0.98, 0.02, 0.8), defense_seed=1, dataset__clean_seed=7)
    found = line(report(root, against="ft"), "blend", "nba")
    assert found.n == 3 and found.values["acc"][0] == pytest.approx((0.88 + 0.98) / 2)
    gap = found.cells["acc"].difference
    assert gap is not None and gap.n == 3


def test_one_victim_marks_nothing_however_often_it_is_cleaned(tmp_path: Path) -> None:
    for seed in range(5):
        put(tmp_path, f"f{seed}", "blend", "ft", 0, (0.86, 0.5 + 0.001 * seed, 0.4), defense_seed=seed)
        put(tmp_path, f"n{seed}", "blend", "nba", 0, (0.86, 0.1 + 0.001 * seed, 0.8), defense_seed=seed)
    made = report(tmp_path)
    assert [each.n for each in made.sections[0].lines] == [1, 1]
    assert not any(cell.best for each in made.sections[0].lines for cell in each.cells.values())


def test_average_takes_rows_that_all_sections_have(root: Path) -> None:
    averages = report(root).averages
    assert averages is not None
    found = {each.label: each.cells["acc"].summary.mean for each in averages.lines if each.cells}
    assert found == {"ft": pytest.approx((0.87 + 0.85) / 2)}


def test_a_missing_cell_of_an_ad_hoc_table_is_shown_as_missing(root: Path) -> None:
    made, layout = compose_table(Request(output=str(root)), {})
    text = FORMATS["markdown"](made, layout)
    assert "| badnets | nba | 0 | missing | missing |" in text
    assert layout.missing == [], "experiments know their jobs; here nobody knows which command was meant"


def test_runs_of_one_cell_that_differ_get_lines_of_their_own(root: Path) -> None:
    put(root, "other", "blend", "ft", 0, (0.5, 0.5, 0.5), attack__alpha=0.3)
    put(root, "usual", "blend", "ft", 1, (0.6, 0.5, 0.5), attack__alpha=0.05)
    labels = [each.label for each in report(root).sections[1].lines if each.label.startswith("ft")]
    assert labels == ["ft", *(f"ft attack.alpha={alpha}" for alpha in ("0.05", "0.1", "0.3"))], "0.1 is the default"


def test_runs_of_different_versions_are_no_repetitions(root: Path) -> None:
    """Two versions of ibau; the record of the older one does not name it."""
    put(root, "old", "blend", "ibau", 0, (0.9, 0.5, 0.5))
    put(root, "new", "blend", "ibau", 1, (0.9, 0.1, 0.5), defense__version=4)
    labels = [each.label for each in report(root).sections[1].lines]
    assert {"ibau defense.version=3", "ibau defense.version=4"} <= set(labels)


def test_a_line_says_what_is_not_at_its_default_and_names_the_folder_of_a_preset(tmp_path: Path) -> None:
    """conf/defense/demo/ft.yaml sets steps to 40."""
    usual, now = declared().parts["defense"]["ft"], declared().versions["defense"]["ft"]
    for name, train in (("usual", {}), ("demo", {"steps": 40}), ("more", {"steps": 40, "lr": 0.2})):
        whole = {"train": usual["train"] | train, "version": now}
        put(tmp_path, name, "blend", "ft", 7, (0.5, 0.5, 0.5), **{f"defense__{key}": whole[key] for key in whole})
    labels = [each.label for each in report(tmp_path).sections[0].lines]
    assert labels == ["ft", "ft defense.train.steps=40 defense.train.lr=0.2", "ft demo"]
    alone, _ = compose_table(
        Request(output=str(tmp_path)), {"defense.train.steps": ["40"], "defense.train.lr": ["0.05"]}
    )
    assert [each.label for each in alone.sections[0].lines] == ["ft demo"], (
        "shortened, whether or not ft stands beside it"
    )
    rates, _ = compose_table(Request(output=str(tmp_path), rows="defense.train.lr"), {})
    assert [each.label for each in rates.sections[0].lines] == ["0.05", "0.05 defense.train.steps=40", "0.2"]
    steps, _ = compose_table(
        Request(output=str(tmp_path), rows="defense,defense.train.steps"), {"defense.train.lr": ["0.05"]}
    )
    labels = [each.label for each in steps.sections[0].lines]
    assert sorted(labels) == [f"ft {usual['train']['steps']}", "ft 40"], "the rows say all that the folder stands for"


def test_a_row_setting_that_another_defense_does_not_have_is_not_called_null(tmp_path: Path) -> None:
    put(tmp_path, "with", "blend", "nba", 0, (0.5, 0.1, 0.5), defense__pseudo="none", defense__eps=None)
    put(tmp_path, "without", "blend", "ft_nba", 0, (0.5, 0.1, 0.5))
    for setting, value in (("pseudo", "none"), ("eps", "null")):
        made, _ = compose_table(Request(output=str(tmp_path), rows=f"defense,defense.{setting}"), {})
        assert [each.label.split(" defense")[0] for each in made.sections[0].lines] == ["ft_nba n/a", f"nba {value}"]
        for word, kind in (("n/a", "ft_nba"), (value, "nba")):
            found, _ = compose_table(Request(output=str(tmp_path)), {f"defense.{setting}": [word]})
            assert [each.key[0] for each in found.sections[0].lines] == [kind], "as one reads it, so one asks for it"


def test_there_is_no_average_over_seeds(root: Path) -> None:
    made, _ = compose_table(Request(output=str(root), cols="seed"), {})
    assert len(made.sections) > 1 and made.averages is None


def test_a_column_whose_runs_are_all_of_a_preset_says_which(tmp_path: Path) -> None:
    """conf/attack/strong/sig.yaml sets test_delta to 25; the column is headed sig, and so is that of the usual one."""
    usual, now = declared().parts["attack"]["sig"], declared().versions["attack"]["sig"]
    own = {"attack__rate": usual["rate"], "attack__version": now}
    put(tmp_path, "strong", "sig", "ft", 0, (0.5, 0.5, 0.5), attack__test_delta=25.0, **own)
    for layout in ("list", "matrix"):
        made, _ = compose_table(Request(output=str(tmp_path), layout=layout, rows="defense", cols="attack"), {})
        assert "sig is as attack=strong/sig sets it" in made.notes
    lines, _ = compose_table(Request(output=str(tmp_path), rows="attack", cols="defense"), {})
    assert lines.sections[0].lines[0].label == "sig strong" and not lines.notes, "a line says it itself"
    put(tmp_path, "usual", "sig", "nba", 0, (0.5, 0.5, 0.5), **own)
    assert not [note for note in report(tmp_path).notes if "strong/sig" in note], "of one run alone"


def test_a_line_of_a_former_version_says_all_because_its_defaults_are_not_known(tmp_path: Path) -> None:
    usual = declared().parts["defense"]["ft"]["train"]
    put(tmp_path, "old", "blend", "ft", 7, (0.5, 0.5, 0.5), defense__train=usual, defense__version=0)
    put(tmp_path, "more", "blend", "ft", 7, (0.5, 0.5, 0.5), defense__train=usual | {"steps": 40}, defense__version=0)
    labels = [each.label for each in report(tmp_path).sections[0].lines]
    assert labels == [f"ft defense.train.steps={steps}" for steps in sorted((40, usual["steps"]), key=str)]


def test_what_only_other_rows_differ_in_is_not_said(root: Path) -> None:
    put(root, "other", "blend", "ft", 7, (0.5, 0.5, 0.5), defense__version=0)
    labels = [each.label for each in report(root).sections[1].lines]
    assert "nba" in labels and "ft defense.version=0" in labels


def test_what_differs_between_cells_is_said(root: Path) -> None:
    assert not report(root).notes
    put(root, "other", "sig", "ft", 0, (0.5, 0.5, 0.5), dataset__clean_ratio=0.2, commit="def")
    put(root, "rate", "badnets", "anp", 0, (0.5, 0.5, 0.5), attack__rate=0.2)
    notes = report(root).notes
    assert "dataset.clean_ratio differs among these runs: 0.05, 0.2" in notes
    assert "attack.rate differs among these runs: 0.1, 0.2" in notes, "within the section of badnets"
    assert "commits differ among these runs" in notes and len(notes) == 3


def test_runs_with_the_same_seeds_are_never_averaged_nor_lost(root: Path) -> None:
    one, two = put(root, "p1", "sig", "ft", 0, (0.5, 0.5, 0.5)), put(root, "p2", "sig", "ft", 0, (0.7, 0.5, 0.5))
    for folder, precision in ((one, "bf16"), (two, "fp32")):
        file = folder / "metrics.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"precision": precision}))
    found = next(section for section in report(root).sections if section.label == "sig")
    assert {each.label: each.cells["acc"].summary.mean for each in found.lines if each.cells} == {
        "ft precision=bf16": 0.5,
        "ft precision=fp32": 0.7,
    }
    two.rename(root / "defend" / "twin")
    file = root / "defend" / "twin" / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"precision": "bf16"}))
    found = next(section for section in report(root).sections if section.label == "sig")
    assert {each.label for each in found.lines if each.cells} == {"ft p1", "ft twin"}, "nothing but the folder differs"


def test_an_older_record_had_what_is_now_the_default(root: Path) -> None:
    put(root, "tuned", "blend", "ft", 7, (0.1, 0.1, 0.1), tune=True)
    labels = [each.label for each in report(root).sections[1].lines]
    assert "ft tune=false" in labels and "ft tune=true" in labels


def test_with_two_row_settings_a_row_is_compared_under_the_same_rest(root: Path) -> None:
    for rate, asr in ((0.1, 0.5), (0.2, 0.9)):
        for defense, gain in (("ft", 0.0), ("anp", 0.1)):
            put(root, f"{rate}{defense}", "wanet", defense, 0, (0.5, asr - gain, 0.5), attack__rate=rate)
    request = Request(output=str(root), rows="defense,attack.rate", against="ft")
    made, _ = compose_table(request, {"attack": ["wanet"]})
    gaps = {each.label: each.cells["asr"].difference for each in made.sections[0].lines}
    assert all(gaps[f"anp {rate}"].mean == pytest.approx(-0.1) for rate in (0.1, 0.2))  # type: ignore[union-attr]
    assert gaps["ft 0.1"] is None and gaps["ft 0.2"] is None


def test_a_line_is_compared_with_its_own_like_else_with_the_only_one_that_has_runs(tmp_path: Path) -> None:
    for attack, defense, budget, asr in (
        ("blend", "ft", "published", 0.5),
        ("blend", "ft", "equal", 0.4),
        ("blend", "nba", "published", 0.1),
        ("blend", "nba", "equal", 0.1),
        ("sig", "ft", "equal", 0.9),
        ("sig", "nba", "published", 0.1),
        ("wanet", "ft", "published", 0.7),
        ("wanet", "ft", "equal", 0.6),
        ("wanet", "nba", "third", 0.1),
    ):
        put(tmp_path, f"{attack}{defense}{budget}", attack, defense, 0, (0.5, asr, 0.5), budget=budget)
    made = report(tmp_path, against="ft")
    gaps = {
        (s.label, each.label): each.cells["asr"].difference for s in made.sections for each in s.lines if each.cells
    }
    found = {place: round(gap.mean, 3) for place, gap in gaps.items() if gap}
    assert found == {
        ("blend", "nba budget=published"): -0.4,
        ("blend", "nba budget=equal"): -0.3,
        ("sig", "nba budget=published"): -0.8,
    }, "of several others nobody knows which"


def test_no_defense_is_left_out_of_the_comparison_and_an_option_called_none_is_not(root: Path) -> None:
    for pseudo, asr in (("none", 0.5), ("mixed", 0.1)):
        for seed in range(3):
            put(root, f"{pseudo}{seed}", "wanet", "nba", seed, (0.5, asr, 0.5), defense__pseudo=pseudo)
    made, _ = compose_table(Request(output=str(root), rows="defense.pseudo"), {"attack": ["wanet"]})
    assert {each.label: each.cells["asr"].best for each in made.sections[0].lines} == {"none": False, "mixed": True}


def test_a_defense_competes_with_all_others_whatever_options_the_rows_show(tmp_path: Path) -> None:
    for name, kind, asr, options in (("a", "nba", 0.1, {"defense__pseudo": "none"}), ("b", "ft", 0.5, {}),
                                     ("c", "nba", 0.2, {"defense__pseudo": "mixed"})):  # fmt: skip
        for seed in range(3):
            put(tmp_path, f"{name}{seed}", "blend", kind, seed, (0.5, asr + seed / 1000, 0.5), **options)
    made, _ = compose_table(Request(output=str(tmp_path), rows="defense,defense.pseudo"), {})
    best = {each.label: each.cells["asr"].best for each in made.sections[0].lines}
    assert best == {"ft n/a": False, "nba mixed": False, "nba none": True}


def test_only_defenses_compete(root: Path) -> None:
    made, _ = compose_table(Request(output=str(root), rows="attack", cols="defense"), {})
    assert {section.label for section in made.sections} >= {"ft"}
    assert not any(cell.best for s in made.sections for each in s.lines for cell in each.cells.values())


def test_rows_and_columns_are_any_settings(root: Path) -> None:
    for rate in (0.1, 0.02):
        put(root, f"r{rate}", "blend", "anp", 0, (rate, 0.5, 0.5), attack__rate=rate)
    found, _ = compose_table(Request(output=str(root), rows="attack.rate", cols="defense"), {"defense": ["anp"]})
    assert [section.label for section in found.sections] == ["anp"]
    assert [each.label for each in found.sections[0].lines] == ["0.02", "0.1"], "numbers by size"
    for asked in ("1e-1", "0.10"):
        found, _ = compose_table(Request(output=str(root)), {"attack.rate": [asked], "defense": ["anp"]})
        assert [each.n for section in found.sections for each in section.lines] == [1], "a number, however written"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rows"], "options are written option=value"),
        (["format=word"], "there is no such format. Choose from"),
        (["file=x.doc"], "its ending says no format"),
        (["datset=cifar10"], "Did you mean 'dataset'?"),
        (["dataset=mnist"], "dataset=mnist: no finished defend run in output=.* has it. Choose from: cifar10."),
        (["overwrite=maybe"], "overwrite=maybe: true or false"),
        (["seed=20"], "seed=20: no finished defend run in output=.* has it. Choose from: 0, 1, 2."),
        (["defense=nba", "attack=badnts"], "attack=badnts: no finished .* has it. Did you mean 'badnets'?"),
        (["attack=badnets,blend", "seed=0", "defense=ftt,nbb"], "defense=ftt,nbb: no finished .* Did you mean 'ft'?"),
        (["against=nab"], "no row of that name. Did you mean 'nba'?"),
        (["experiment=six"], "there is no such experiment"),
        (["experiment=demo/datasets", "defense=nbaa"], "no job of it has defense=nbaa"),
        (["stage=defence"], "Did you mean 'defend'?"),
        (["rows=defence"], "Did you mean 'defense'?"),
        (["cols=atack"], "Did you mean 'attack'?"),
        (["figures=acc,arr"], "Did you mean"),
        (["format=csv", "compare=x.csv"], "no place in csv"),
    ],
)
def test_bad_words_are_refused(root: Path, words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said.replace("?", r"\?")):
        table.main([f"output={root}", *words])


def test_a_number_is_asked_for_in_any_spelling_and_beside_words() -> None:
    assert is_among("20.0", ["20"]) and is_among("1e-05", ["1e-5"]) and is_among("0.1", ["null", "0.10"])
    assert not is_among("null", ["0.1", "zero"]) and not is_among("0.1", ["0.2", "null"])


def test_other_models_are_no_repetitions_of_what_is_evaluated(tmp_path: Path) -> None:
    """Two victims of one kind, another one, and a record of before they were told apart, each measured under blend."""
    for number, model in enumerate(({"measured": "x"}, {"measured": "x"}, {"measured": "y"}, {"model": "mine.pt"})):
        out = put(tmp_path, f"e{number}", "blend", "ft", number % 2, (0.5, 0.1 * number, 0.5))
        made = json.loads((out / "metrics.json").read_text())
        (tmp_path / "evaluate" / out.name).mkdir(parents=True)
        (tmp_path / "evaluate" / out.name / "metrics.json").write_text(json.dumps(made | {"stage": "evaluate"} | model))
    (section,) = report(tmp_path, stage="evaluate").sections
    assert {each.label: each.n for each in section.lines} == {"mine.pt": 1, "x": 2, "y": 1}


def test_runs_of_other_kinds_are_never_one_line(tmp_path: Path) -> None:
    for seed, (attack, defense, rate) in enumerate(
        (("badnets", "ft", 0.1), ("blend", "ft", 0.1), ("blend", "fp", 0.1))
    ):
        put(tmp_path, f"r{seed}", attack, defense, seed, (0.1 * seed, 0.5, 0.5), attack__rate=rate)
    for asked in (
        {"rows": "attack.rate", "cols": "defense"},
        {"rows": "dataset.clean_ratio"},
    ):
        made, _ = compose_table(Request(output=str(tmp_path), **asked), {})
        assert all(each.n <= 1 for section in made.sections for each in section.lines), asked


def test_what_one_row_says_is_not_taken_as_said_by_another(tmp_path: Path) -> None:
    """ft's lines say their rates, fp's does not, and the average is over both."""
    for name, defense in (("ft", "ft"), ("fp", "fp")):
        now = declared().versions["defense"][defense]
        for number, (attack, rate) in enumerate((("badnets", 0.01), ("blend", 0.3), ("badnets", 0.2))):
            if number < 2 or defense == "ft":
                train = declared().parts["defense"][defense]["train"] | {"lr": rate}
                more = {"defense__train": train, "defense__version": now}
                put(tmp_path, f"{name}{number}", attack, defense, 0, (0.1, 0.5, 0.5), **more)
    assert "defense.train.lr differs among these runs: 0.01, 0.3" in report(tmp_path).notes


def test_a_value_that_no_run_has_is_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="nba"):
        compose_table(Request(output=str(root)), {"defense": ["ft", "nbb"]})
    assert [record.getMessage() for record in caplog.records] == [
        "defense=nbb: no finished run has it. Did you mean 'nba'?"
    ]


def test_columns_may_be_any_setting_lists_too(root: Path) -> None:
    put(root, "listed", "blend", "ft", 3, (0.9, 0.5, 0.5), defense__behavior=["response"])
    made, _ = compose_table(Request(output=str(root), cols="defense.behavior"), {})
    assert any("response" in section.label for section in made.sections)
