"""The time that a sweep takes, from records of finished runs and from what its own jobs have done so far."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from records import put

from nba_cli.cli import agenda
from nba_cli.cli.agenda import FINISHED, TO_DO, Need, Planned
from nba_cli.cli.forecast import Outlook, Span, between, combined, estimate, in_words
from nba_cli.cli.journal import Job
from nba_cli.runs.durations import Experience, Workload

SHARES = (0.9, 0.5, 0.5)


def took(root: Path, name: str, method: str = "ft", **seconds: float) -> Path:
    """A finished defense on cifar10 that took so long."""
    out = put(root, name, "blend", method, 0, SHARES)
    found = json.loads((out / "metrics.json").read_text())
    found["settings"]["defense"]["train"] = {"epochs": None, "steps": 200, "batch": 128}
    (out / "metrics.json").write_text(json.dumps(found | {"seconds": {"train": 100.0} | seconds}))
    return out.rename(out.with_name(f"cifar10-{name}"))


def trained(root: Path, name: str, attack: str, epochs: float, seconds: float) -> Path:
    """A finished victim."""
    out = put(root, name, attack, "ft", 0, SHARES)
    found = json.loads((out / "metrics.json").read_text())
    del found["settings"]["defense"]
    found["settings"]["train"] = {"epochs": epochs, "steps": None, "batch": 128}
    found |= {"stage": "attack", "seconds": {"train": seconds, "rest": 10.0}}
    (out / "metrics.json").write_text(json.dumps(found))
    place = root / "attack" / f"cifar10-{name}"
    place.parent.mkdir(exist_ok=True)
    return out.rename(place)


def known(root: Path) -> Experience:
    found = Experience(root)
    found.look({"cifar10"})
    return found


def due(root: Path, name: str, defense: str = "ft", images: float = 200 * 128) -> Workload:
    return Workload(
        folder=str(root / "defend" / name),
        kind=f"defend {defense} published wrn_16_1 32 cifar10",
        attack="blend",
        epochs=0.0,
        images=images,
        parts=("defense",),
        processor="CPU X",
    )


def victim(root: Path, name: str, attack: str = "blend", epochs: float = 20.0) -> Workload:
    kind = "attack null null wrn_16_1 32 cifar10"
    return replace(due(root, name), folder=str(root / "attack" / name), kind=kind, attack=attack, epochs=epochs,
                   images=0.0, parts=("craft", "train"))  # fmt: skip


def test_a_run_takes_as_long_as_the_quickest_to_the_slowest_of_its_like(tmp_path: Path) -> None:
    took(tmp_path, "a", defense=30.0, rest=20.0)
    took(tmp_path, "b", defense=60.0, rest=30.0)
    took(tmp_path, "other", "nba", defense=1000.0, rest=20.0)
    assert estimate(due(tmp_path, "new"), known(tmp_path)) == Span(50.0, 90.0)


def test_where_nothing_is_known_nothing_is_said(tmp_path: Path) -> None:
    took(tmp_path, "other", "nba", defense=1000.0, rest=20.0)
    span = estimate(due(tmp_path, "new"), known(tmp_path))
    assert span == Span(unknown=1) and in_words(span) == "time unknown: no run like these has finished yet"
    both = combined([span, Span(720.0, 1080.0)])
    assert in_words(both, " left") == "about 12 to 18 min left and 1 run of unknown length"
    assert in_words(Span()) == ""


def test_another_length_scales_the_training_and_not_the_rest(tmp_path: Path) -> None:
    took(tmp_path, "a", defense=30.0, rest=20.0)
    assert estimate(due(tmp_path, "new", images=400 * 128), known(tmp_path)) == Span(80.0, 80.0)
    unlike = replace(due(tmp_path, "new"), epochs=1.0, images=0.0)
    assert estimate(unlike, known(tmp_path)).unknown == 1, "epochs and steps cannot be compared"


def changed(out: Path, *path: str, value: object) -> None:
    """Set one value of a record."""
    found = json.loads((out / "metrics.json").read_text())
    inner = found
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    (out / "metrics.json").write_text(json.dumps(found))


def test_images_of_another_size_tell_nothing(tmp_path: Path) -> None:
    changed(took(tmp_path, "small", defense=3.0, rest=2.0), "settings", "dataset", "size", value=16)
    assert estimate(due(tmp_path, "new"), known(tmp_path)) == Span(unknown=1)
    kind = "defend ft published wrn_16_1 16 cifar10"
    assert estimate(replace(due(tmp_path, "new"), kind=kind), known(tmp_path)) == Span(5.0, 5.0)


def test_runs_on_as_many_threads_are_closer(tmp_path: Path) -> None:
    changed(took(tmp_path, "one", defense=60.0, rest=20.0), "made", "threads", value=1)
    changed(took(tmp_path, "two", defense=30.0, rest=20.0), "made", "threads", value=2)
    experience = known(tmp_path)
    assert estimate(replace(due(tmp_path, "new"), threads=1), experience) == Span(80.0, 80.0)
    assert estimate(replace(due(tmp_path, "new"), threads=4), experience) == Span(50.0, 80.0), "none is closer"
    assert estimate(replace(due(tmp_path, "new"), threads=None), experience) == Span(50.0, 80.0), "nobody knows"


def test_older_records_lack_what_loading_and_measuring_took(tmp_path: Path) -> None:
    took(tmp_path, "old", defense=120.0)
    span = estimate(due(tmp_path, "new"), known(tmp_path))
    assert in_words(span) == "about 2 min, loading and measuring not counted"
    took(tmp_path, "new", defense=130.0, rest=50.0)
    assert estimate(due(tmp_path, "x"), known(tmp_path)) == Span(180.0, 180.0), "what tells all is believed"


def test_victims_of_the_same_attack_are_closer_and_untimed_ones_tell_nothing(tmp_path: Path) -> None:
    trained(tmp_path, "a", "blend", 20.0, 600.0)
    trained(tmp_path, "b", "inputaware", 20.0, 1700.0)
    trained(tmp_path, "c", "blend", 20.0, 0.0)
    trained(tmp_path, "d", "blend", 20.0, 0.04)  # whoever resumed it lost the rest
    assert estimate(victim(tmp_path, "new", epochs=10.0), known(tmp_path)) == Span(310.0, 310.0)
    assert estimate(victim(tmp_path, "new", "sig"), known(tmp_path)) == Span(610.0, 1710.0)
    trained(tmp_path, "e", "wanet", 20.0, 0.2)  # of a few images
    assert estimate(victim(tmp_path, "new", "wanet"), known(tmp_path)) == Span(10.2, 10.2)


def test_a_run_that_takes_longer_than_all_before_has_no_known_end(tmp_path: Path) -> None:
    took(tmp_path, "a", defense=30.0, rest=20.0)
    took(tmp_path, "b", defense=60.0, rest=30.0)
    experience = known(tmp_path)
    assert estimate(due(tmp_path, "new"), experience, 20.0) == Span(30.0, 70.0)
    assert estimate(due(tmp_path, "new"), experience, 60.0) == Span(30.0, 30.0), "the quick one is no example any more"
    assert estimate(due(tmp_path, "new"), experience, 91.0) == Span(unknown=1)


def test_a_victim_in_training_tells_its_own_speed(tmp_path: Path) -> None:
    """Although no run like it has finished: 5 of 20 epochs took 100 s, and 40 s ago the last one ended."""
    out = tmp_path / "attack" / "busy"
    out.mkdir(parents=True)
    (out / "history.jsonl").write_text('{"phase": "victim", "step": 1, "epoch": 5, "seconds": 100.0}\n')
    (out / "checkpoint").touch()
    span = estimate(victim(tmp_path, "busy"), known(tmp_path))
    assert (span.low, span.unknown) == (300.0, 0), "interrupted: it continues there"
    os.utime(out / "history.jsonl", (time.time() - 40, time.time() - 40))
    assert estimate(victim(tmp_path, "busy"), known(tmp_path), 140.0).low == pytest.approx(260.0, abs=5)
    for damaged in ("0", "-1", "false"):
        (out / "history.jsonl").write_text(f'{{"phase": "victim", "step": 1, "epoch": {damaged}, "seconds": 100.0}}\n')
        assert estimate(victim(tmp_path, "busy"), known(tmp_path)).unknown == 1
    (out / "checkpoint").unlink()
    assert estimate(victim(tmp_path, "busy"), known(tmp_path)).unknown == 1, "a history of an earlier run"


def outlook(root: Path) -> Outlook:
    """Three jobs that need one victim, which takes 600 + 10 s; each takes 50 to 90 s; one is finished."""
    took(root, "a", defense=30.0, rest=20.0)
    took(root, "b", defense=60.0, rest=30.0)
    trained(root, "c", "blend", 20.0, 600.0)
    needs = (Need(what="victim", work=victim(root, "cifar10-v")),)
    jobs = [Planned(label=f"seed={k}", state=TO_DO, own=due(root, f"new{k}"), needs=needs) for k in (1, 2)]
    done = Planned(label="seed=0", state=FINISHED, own=due(root, "cifar10-a"))
    return Outlook([done, *jobs], root)


def test_a_victim_that_several_jobs_need_counts_once(tmp_path: Path) -> None:
    found = outlook(tmp_path)
    assert found.heading(1) == "3 jobs, 1 finished, 1 victim to train first, about 12 to 13 min"
    assert found.heading(None).endswith("about 12 to 13 min one after another")
    assert found.heading(2).endswith("about 10 min"), "no less than the longest of them"


def test_what_is_left_shrinks_as_jobs_run_and_end(tmp_path: Path) -> None:
    found = outlook(tmp_path)
    first = Job(number=1, overrides=[], began=time.time() - 300)
    assert found.left({1: first}) == "about 7 to 8 min left", "300 s of the victim are over"
    trained(tmp_path, "v", "blend", 20.0, 600.0)
    assert found.left({1: first}) == "about 2 to 3 min left", "the defense has just begun"
    os.utime(tmp_path / "attack/cifar10-v/metrics.json", (0, time.time() - 1000))
    later = Job(number=1, overrides=[], began=time.time() - 95)
    assert found.left({1: later}) == "about 50 s to 2 min left and 1 run of unknown length", "slower than all before it"
    ended = {k: Job(number=k, overrides=[], end="finished") for k in (1, 2)}
    assert found.left(ended) == ""


def test_an_agenda_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = outlook(tmp_path).agenda
    agenda.write(found, tmp_path)
    assert agenda.read(tmp_path) == found
    for damaged in (
        "{}",
        "null",
        "[]",
        '"x"',
        "1",
        '{"jobs": [null]}',
        '{"jobs": [{"needs": [], "own": "x"}]}',
        "[" * 9999,
    ):
        (tmp_path / "agenda.json").write_text(damaged)
        assert agenda.read(tmp_path) is None, damaged
    assert agenda.read(tmp_path / "none") is None


@pytest.mark.parametrize("epochs", ["20", [20], 10**400], ids=["text", "list", "huge"])
@pytest.mark.parametrize("ratio", [0.05, "0.05"])
def test_a_record_whose_settings_are_of_other_types_tells_nothing(
    tmp_path: Path, epochs: object, ratio: object
) -> None:
    out = took(tmp_path, "a", defense=30.0, rest=20.0)
    found = json.loads((out / "metrics.json").read_text())
    found["settings"]["defense"]["train"] = {"epochs": epochs, "steps": None}
    found["settings"]["dataset"]["clean_ratio"] = ratio
    (out / "metrics.json").write_text(json.dumps(found))
    other = trained(tmp_path, "b", "blend", 20.0, 600.0)
    text = (other / "metrics.json").read_text()
    (other / "metrics.json").write_text(text.replace('"epochs": 20.0', f'"epochs": {json.dumps(epochs)}'))
    experience = known(tmp_path)
    for work in (replace(due(tmp_path, "new"), epochs=1.0, images=0.0), victim(tmp_path, "new")):
        assert estimate(work, experience) == Span(unknown=1)


def test_a_range_in_words() -> None:
    assert [between(*each) for each in ((720, 1080), (40, 150), (60, 60), (45, 50), (5000, 9000))] == [
        "12 to 18 min",
        "40 s to 2 min",
        "60 s",
        "45 to 50 s",
        "83 min to 2.5 h",
    ]


def test_status_loads_no_torch_for_it() -> None:
    code = "import sys; import nba_cli.cli.status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
