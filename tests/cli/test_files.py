"""What lies where nba writes: devices, pipes, folders, links, files of the user's, full disks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run, Trained
from records import put
from running import NBA, results

from nba_cli import files
from nba_cli.errors import Refused
from nba_cli.reports import plot

FAST = ("victim.depth=10", "train.epochs=1", "train.batch=40")
ENDINGS = ("md", "csv", "tex", "html")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": pipe,
    "socket": bound,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/full"),
}


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of few pixels, which are drawn faster: nobody looks at them."""
    monkeypatch.setitem(plot.STYLE, "figure.dpi", 40)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    for seed in range(2):
        put(tmp_path / "runs", f"run{seed}", "blend", "ft", seed, (0.9, 0.1, 0.5))
    return tmp_path / "runs"


def refused(answer: tuple[int, str], *words: str) -> None:
    code, text = answer
    last = text.splitlines()[-1]
    assert code == 2 and last.startswith("nba: ") and "Traceback" not in text, text
    assert all(word in last for word in words), last


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_neither_written_nor_read(nba: Run, tmp_path: Path, finished: Path, kind: str) -> None:
    for name in ("table.md", "plot.png", "list.csv"):
        SPECIAL[kind](tmp_path / name)
    commands = [
        ("table.md", ("table", f"file={tmp_path}/table.md", "overwrite=true")),
        ("plot.png", ("plot", "x=defense_seed", f"file={tmp_path}/plot", "overwrite=true")),
        ("list.csv", ("table", f"compare={tmp_path}/list.csv")),
    ]
    for name, command in commands:
        state = (tmp_path / name).lstat()
        refused(nba(*command, dataset=False), f"{tmp_path}/{name}: a {kind}, and it has to be a file.")
        assert (tmp_path / name).lstat().st_ino == state.st_ino
    assert not list(tmp_path.glob("*.svg")) and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize("name", ["run.log", "history.jsonl", "config.yaml", "model.safetensors"])
def test_a_run_whose_file_cannot_be_one(nba: Run, trained: Trained, kind: str, name: str) -> None:
    out = trained(*FAST)
    (out / name).unlink()
    SPECIAL[kind](out / name)
    refused(nba("attack", *FAST, "overwrite=true"), f"{out}/{name}: a {kind}, and it has to be a file.")
    assert not (out / "metrics.json").exists() or name == "run.log", "it is not finished"


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_a_record_that_is_no_file_is_left_out(nba: Run, finished: Path, kind: str) -> None:
    bad = finished / "defend/run1/metrics.json"
    bad.unlink()
    SPECIAL[kind](bad)
    code, text = nba("table", dataset=False)
    assert code == 0 and "90.00" in text
    assert f"left out: {bad}: a {kind}" in text or kind == "device"


def test_an_image_that_is_no_file(nba: Run, tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "set" / place).mkdir(parents=True)
        os.mkfifo(tmp_path / "set" / place / "0.png")
    answer = nba("attack", *FAST, "dataset=folder", f"dataset.path={tmp_path}/set", dataset=False)
    refused(answer, "0.png: a pipe, and it has to be a file.")


def test_links_stay_and_what_they_lead_to_is_replaced(nba: Run, tmp_path: Path, finished: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("table.md", "plot.svg"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)  # which is not there yet
    for _ in range(2):
        assert nba("table", f"file={tmp_path}/table.md", dataset=False)[0] == 0
        assert nba("plot", "x=defense_seed", f"file={tmp_path}/plot", dataset=False)[0] == 0
        for name in ("table.md", "plot.svg"):
            assert (tmp_path / name).is_symlink() and (tmp_path / "elsewhere" / name).stat().st_size > 100
    (tmp_path / "half.svg").symlink_to(tmp_path / "nowhere" / "half.svg")
    answer = nba("plot", "x=defense_seed", f"file={tmp_path}/half", dataset=False)
    refused(answer, "half.svg: cannot be written: it is a link into a folder that is not there.")
    assert not (tmp_path / "half.png").exists(), "both or none"
    (tmp_path / "round.md").symlink_to("round.md")
    refused(nba("table", f"file={tmp_path}/round.md", dataset=False), "round.md: cannot be written")


def test_the_part_of_a_file_is_no_link_to_follow(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "new.part").symlink_to(tmp_path / "precious")
    files.write(tmp_path / "new", "content")
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "new").read_text() == "content"


@pytest.mark.parametrize("ending", [*ENDINGS, "png", "svg"])
def test_a_file_of_the_users_is_replaced_only_if_that_is_asked_for(
    nba: Run, tmp_path: Path, finished: Path, ending: str
) -> None:
    mine = tmp_path / f"mine.{ending}"
    mine.write_bytes(b"my own words about nba table and nba plot\n")
    table = ending in ENDINGS
    words = ("table", f"file={mine}") if table else ("plot", "x=defense_seed", f"file={tmp_path}/mine")
    refused(nba(*words, dataset=False), f"file={mine}: it is there already, and nba did not write it.")
    assert mine.read_bytes().startswith(b"my own") and len(list(tmp_path.glob("mine.*"))) == 1, "none or all"
    refused(nba(*words, "overwrite=yes", dataset=False), "overwrite=yes: true or false.")
    assert nba(*words, "overwrite=true", dataset=False)[0] == 0
    made = mine.read_bytes()
    assert not made.startswith(b"my own")
    code, text = nba(*words, dataset=False)
    assert code == 0 and f"{mine} (replaced)" in text, "a second time, over what nba itself wrote"
    mine.write_bytes(b"")
    assert nba(*words, dataset=False)[0] == 0 and len(mine.read_bytes()) > 100, "there is nothing in it to lose"


def test_a_plot_takes_a_free_name(nba: Run, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for figures, names in (("acc", ["sweep"]), ("acc", ["sweep"]), ("asr", ["sweep", "sweep-2"])):
        code, text = nba("plot", "x=defense_seed", f"figures={figures}", dataset=False)
        assert code == 0 and f"picture: plots/{names[-1]}.svg" in text
        assert sorted(path.stem for path in Path("plots").glob("*.svg")) == names


def test_only_what_a_run_writes_is_discarded(tmp_path: Path) -> None:
    from nba_cli.runs import folder

    (tmp_path / "run/snapshots").mkdir(parents=True)
    for name in ("run.log", "config.yaml", "history.jsonl", "notes.txt"):
        (tmp_path / "run" / name).write_text("x")
    folder.discard(tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["notes.txt"]
    (tmp_path / "run/notes.txt").unlink()
    folder.discard(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def shell(line: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $NBA is the command."""
    script = f'nba() {{ "{NBA[0]}" -c \'{NBA[2]}\' "$@"; }}\n{line}\n'
    return subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)


linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")


@linux
def test_a_reader_that_leaves_does_not_end_a_training(tmp_path: Path, tiny_file: Path) -> None:
    words = f"dataset=npz dataset.path={tiny_file} reference=false {' '.join(FAST)}"
    done = shell(f"nba attack {words} | head -1; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.count("\n") == 1
    (out,) = results(tmp_path, "attack")
    done = shell(f"nba attack {words} overwrite=true > /dev/full", tmp_path)
    line = "nba: standard output: No space left on device. What was computed is in its folder, with its log.\n"
    assert done.returncode == 0 and done.stderr == line
    assert results(tmp_path, "attack") == [out]


@linux
@pytest.mark.parametrize("words", ["table", "table format=csv", "status", "--help", "completion"])
def test_standard_output_that_is_full_or_unread(tmp_path: Path, finished: Path, words: str) -> None:
    done = shell(f"nba {words} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (2, "nba: standard output: No space left on device.\n")
    done = shell(f"nba {words} | head -0; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for closed in (">&-", "2>&-", "2>/dev/full"):
        done = shell(f"nba {words} {closed}", tmp_path)
        assert done.returncode == 0 and done.stderr == ""


@linux
def test_a_limit_on_the_size_of_files(tmp_path: Path, tiny_file: Path, finished: Path) -> None:
    """In blocks of 1,024 bytes. The log of a run is the first to grow."""
    done = shell("ulimit -f 0; nba table file=table.md", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nba: file=table.md: cannot be written (File too large).\n"
    assert not list(tmp_path.glob("table*"))
    words = f"dataset=npz dataset.path={tiny_file} reference=false {' '.join(FAST)}"
    done = shell(f"ulimit -f 4; nba attack {words} 2>&1 | cat; exit ${{PIPESTATUS[0]}}", tmp_path)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stdout
    assert last.startswith("nba: runs/attack/") and "File too large. Set output=FOLDER" in last
    assert not list(tmp_path.rglob("*.part")) and not results(tmp_path, "attack")


def test_a_log_that_cannot_be_written_is_said_once(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nba_cli import console

    def full(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console.RunLog, "flush", full)
    code, text = nba("attack", *FAST)
    assert code == 0 and "Traceback" not in text and "Logging error" not in text
    (out,) = results(tmp_path, "attack")
    assert text.count(f"{out}/run.log: No space left on device; the log lacks what follows") == 1


def test_a_missing_file_is_regular(tmp_path: Path) -> None:
    assert files.regular(tmp_path / "new") == tmp_path / "new"
    with pytest.raises(Refused, match="a folder, and it has to be a file"):
        files.regular(tmp_path)
