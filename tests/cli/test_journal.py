"""The journal of a sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nba_cli.cli import journal as sweep_journal
from nba_cli.cli.journal import FILE, Job, Journal, journals
from nba_cli.cli.sweep import SweepView


def test_journal_keeps_jobs_and_forgets_older_journals_of_the_same_command(tmp_path: Path) -> None:
    old, other, new = (Journal(tmp_path / name) for name in ("1-old", "2-other", "3-new"))
    old.open("attack", ["seed=0,1"], ["seed"], 2)
    job = old.job(1, ["seed=1", "x=1"])
    assert job.label == "seed=1"
    old.note(job)
    old.note(replace(job, end="failed", why="x"))
    assert [(each.number, each.end, each.why) for each in old.jobs()] == [(1, "failed", "x")], "the last word counts"
    old.close()
    other.open("attack", ["seed=7"], [], None)
    assert old.folder.is_dir() and other.job(0, ["seed=7"]).label == "seed=7"
    new.open("attack", ["seed=0,1"], [], 2)
    assert not old.folder.exists() and other.alive() and other.folder.is_dir()
    assert [journal.folder.name for journal in journals(tmp_path)] == ["2-other", "3-new"]
    new.note(Job(number=3, overrides=[], end="finished"))
    new.note(Job(number=10, overrides=[], end="finished"))
    assert [each.number for each in new.jobs()] == [3, 10]
    new.close()
    assert not new.folder.exists(), "all finished: nothing to remember"


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1"], [], 2)
    with (journal.folder / FILE).open("a") as file:
        file.write('{"number": 0, "overri')  # its process was killed here
    journal.note(Job(number=1, overrides=["seed=1"], end="finished"))
    assert journal.about["stage"] == "attack" and [job.number for job in journal.jobs()] == [1]
    journal.forget(Job(number=1, overrides=["seed=1"]))
    assert journal.jobs() == []


def test_each_line_of_a_sweep_is_read_once_however_often_one_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    usual = sweep_journal._entry
    monkeypatch.setattr(sweep_journal, "_entry", lambda line: parsed.append(line) or usual(line))
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=range(30)"], [], 30)
    view = SweepView(journal, 30, parallel=False)
    for number in range(30):
        journal.note(Job(number=number, overrides=[]))
        view.look()
        assert view.running.keys() == {number} and set(view.ended) == set(range(number))
        journal.note(Job(number=number, overrides=[], end="finished"))
        view.look()
    assert not view.running and len(view.ended) == 30 and len(parsed) == 1 + 2 * 30


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1"], [], 2)
    view = SweepView(journal, 2, parallel=False)
    journal.note(Job(number=0, overrides=["seed=0"]))
    with (journal.folder / FILE).open("a") as file:
        file.write('{"number": 0, "overrides": [], ')
        file.flush()
        view.look()
        assert view.running.keys() == {0} and not view.ended
        file.write('"end": "finished"}\n')
    view.look()
    assert not view.running and view.ended[0].end == "finished"
    journal.note(Job(number=1, overrides=["seed=1"]))
    view.look()
    journal.forget(Job(number=1, overrides=["seed=1"]))
    view.look()
    assert not view.running and list(view.ended) == [0]
    journal.remove()
    view.look()
    assert list(view.ended) == [0], "what is gone has nothing new"


def test_a_late_worker_does_not_bring_back_a_removed_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1"], [], 2)
    journal.lock.release()
    journal.remove()
    journal.note(Job(number=0, overrides=["seed=0"], end="finished"))
    journal.forget(Job(number=0, overrides=["seed=0"]))
    assert not journal.folder.exists() and journals(tmp_path) == [] and not caplog.text


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1"], [], 2)
    (journal.folder / FILE).unlink()
    (journal.folder / FILE).mkdir()
    journal.note(Job(number=0, overrides=["seed=0"], end="finished"))
    assert caplog.text.count("is not in the list of the sweep") == 1


def test_a_sweep_that_was_interrupted_in_its_first_job_is_remembered(tmp_path: Path) -> None:
    begun, refused = Journal(tmp_path / "begun"), Journal(tmp_path / "refused")
    begun.open("attack", ["seed=0,1"], ["seed"], 2)
    refused.open("attack", ["seed=2,3"], ["seed"], 2)
    begun.note(Job(number=0, overrides=["seed=0"]))
    begun.forget(Job(number=0, overrides=["seed=0"]))
    begun.close()
    refused.close()
    assert [journal.folder.name for journal in journals(tmp_path)] == ["begun"]
