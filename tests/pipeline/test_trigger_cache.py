"""Learned triggers as a user meets them: made once, kept, found again, measured on other models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import Run, Trained
from running import metrics, results
from safetensors.torch import load_file

from attacks import ATTACKS

SHORT = ("victim.depth=10", "train.epochs=1", "train.batch=40")


QUICK = {
    "trojan": ("attack.steps=3", "attack.batch=8"),
    "cl": ("attack.steps=2",),
    "inputaware": ("attack.width=4", "attack.mask_epochs=0.2"),
    "lookalike": ("attack.candidates=3", "attack.judges=4"),
    "refool": ("attack.rounds=1", "attack.tuning=1", "attack.candidates=3", "attack.reflections=2"),
}


@pytest.mark.parametrize("attack", [name for name, cls in ATTACKS.items() if cls().rate])
def test_every_attack_runs_and_records_what_its_trigger_does(
    nba: Run, trained: Trained, tmp_path: Path, attack: str
) -> None:
    if attack not in ("badnets", "trojan"):  # those train the clean victim themselves, with and without a helper
        trained("attack=none", *SHORT)
    code, text = nba("attack", f"attack={attack}", *SHORT, *QUICK.get(attack, ()), "reference=true")
    assert code == 0, text
    records = [metrics(folder) for folder in results(tmp_path, "attack")]
    found = {(record["settings"]["attack"]["kind"], record["settings"]["seed"]): record for record in records}
    assert set(found) == {("none", 0), (attack, 0)}, "the clean victim is the reference"
    helpers = list((tmp_path / "runs/helper/attack").glob("*-none-s1000-*"))
    assert len(helpers) == (attack in ("trojan", "cl", "refool", "lookalike")), (
        "apart from the victims: no table counts it"
    )
    mine = found[attack, 0]
    assert set(mine["trigger"]) == {"l2", "linf", "psnr", "ssim"} and mine["trigger"]["l2"] > 0
    assert mine["reference"]["acc"] == found["none", 0]["figures"]["acc"] and mine["reference"]["asr"] is not None
    by_class = mine["figures"]["asr_by_class"]
    assert by_class[0] is None and sum(by_class[1:]) / 2 == pytest.approx(mine["figures"]["asr"])
    assert set(mine["seconds"]) == {"craft", "train", "rest"}
    assert (mine["seconds"]["craft"] > 0) == (attack in ("trojan", "cl", "refool", "inputaware", "lookalike"))
    assert ("trigger" in mine["digests"]) == (attack in ("trojan", "cl", "refool", "wanet", "inputaware", "lookalike"))
    assert "clean victim" in text and ("of every batch" in text) == (attack == "inputaware")
    assert next(tmp_path.rglob("*/trigger.png"))


def test_a_crafted_trigger_is_made_once_for_all_runs_that_need_it(nba: Run, tmp_path: Path) -> None:
    command = ("attack=trojan", *SHORT, *QUICK["trojan"])
    assert nba("attack", *command)[0] == 0
    (record,) = (tmp_path / "runs/trigger").glob("*/record.json")
    stamp = record.stat().st_mtime_ns
    assert nba("attack", *command, "attack.rate=0.2")[0] == 0
    assert nba("defend", *command, "defense=none")[0] == 0
    assert record.stat().st_mtime_ns == stamp and len(list((tmp_path / "runs/trigger").iterdir())) == 1
    runs = [folder for stage in ("attack", "defend") for folder in results(tmp_path, stage) if "trojan" in folder.name]
    assert len(runs) == 3 and len({metrics(folder)["digests"]["trigger"] for folder in runs}) == 1
    assert len({metrics(folder)["seconds"]["craft"] for folder in runs}) == 1
    assert nba("attack", *command, "attack.target=1")[0] == 0
    assert len(list((tmp_path / "runs/trigger").iterdir())) == 2, "another target, another patch"


def test_a_helper_has_a_seed_of_its_own(nba: Run) -> None:
    """An attacker does not know the victim's initialisation or the order of its images."""
    code, text = nba("attack", "attack=trojan", *SHORT, *QUICK["trojan"], "attack.helper_seed=0")
    assert code == 2 and "attack.helper_seed=0: the victim has this seed" in text, text


def test_a_reflection_without_selection_needs_no_helper(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", "attack=refool", *SHORT, "attack.rounds=0", "reference=false")[0] == 0
    assert len(results(tmp_path, "attack")) == 1


def test_what_serves_the_poisoning_alone_stays_in_the_cache(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", "attack=cl", *SHORT, *QUICK["cl"])[0] == 0
    (cached,) = (tmp_path / "runs/trigger").glob("*/trigger.safetensors")
    (kept,) = (tmp_path / "runs/attack").glob("*-cl-*/trigger.safetensors")
    tensors = load_file(cached)
    assert tensors["train.delta"].shape == (64, 3, 16, 16) and len(tensors["train.index"]) == 64
    assert load_file(kept) == {}


def test_a_trigger_has_the_same_digest_in_all_records(nba: Run, tmp_path: Path) -> None:
    assert nba("defend", "attack=cl", *SHORT, *QUICK["cl"], "defense=none")[0] == 0
    attacked = next(folder for folder in results(tmp_path, "attack") if "-cl-" in folder.name)
    (defended,) = results(tmp_path, "defend")
    assert metrics(attacked)["digests"]["trigger"] == metrics(defended)["digests"]["trigger"]
    assert nba("evaluate", f"run={defended}", dataset=False)[0] == 0
    (measured,) = results(tmp_path, "evaluate")
    assert "trigger" not in metrics(measured)["digests"], "what cl crafts is not kept; its corners are in the settings"
    record = {name: value for name, value in metrics(defended).items() if name != "seal"}
    (defended / "metrics.json").write_text(json.dumps(record | {"digests": record["digests"] | {"trigger_file": "0"}}))
    code, text = nba("evaluate", f"run={defended}", "overwrite=true", dataset=False)
    assert code == 2 and f"{defended}/trigger.safetensors: changed since it was written" in text
    assert (
        record["digests"]["trigger_file"] == hashlib.sha256((defended / "trigger.safetensors").read_bytes()).hexdigest()
    )


def test_what_serves_the_poisoning_alone_is_not_crafted_for_measuring(
    nba: Run, trained: Trained, tmp_path: Path
) -> None:
    clean = trained("attack=none", *SHORT)
    assert nba("evaluate", f"output={tmp_path}/runs", f"run={clean}", "attack=cl", dataset=False)[0] == 0
    weights = (f"weights={clean}/model.safetensors", "victim=wrn_16_1", "victim.depth=10")
    assert nba("evaluate", *weights, "attack=cl")[0] == 0
    assert not (tmp_path / "runs/trigger").exists()


def test_a_reference_that_was_left_out_is_measured_when_it_is_asked_for(nba: Run, tmp_path: Path) -> None:
    command = ("attack", "attack=blend", *SHORT)
    assert nba(*command)[0] == 0
    (victim,) = results(tmp_path, "attack")
    before = metrics(victim)
    assert before["reference"] is None
    (victim / "metrics.json").write_text(
        json.dumps({k: v for k, v in before.items() if k not in ("reference", "trigger", "seal")})
    )
    assert nba("defend", *command[1:], "defense=none")[0] == 0, "an older record, without these keys"
    code, text = nba(*command, "reference=true")
    assert code == 0 and "clean victim" in text
    assert "clean victim" in nba("defend", *command[1:], "defense=none", "defense_seed=1")[1]
    after = metrics(victim)
    assert after["reference"]["asr"] is not None and after["trigger"] == before["trigger"]
    added = ("reference", "seal")
    assert {k: v for k, v in after.items() if k not in added} == {k: v for k, v in before.items() if k not in added}


@pytest.mark.parametrize(("attack", "more"), [("trojan", ()), ("inputaware", ("attack.width=8",)), ("badnets", ())])
def test_a_trigger_file_that_does_not_fit_is_refused(
    nba: Run, trained: Trained, tmp_path: Path, attack: str, more: tuple
) -> None:
    victim = trained("attack=wanet", *SHORT)
    given = (f"run={victim}", f"trigger={victim}/trigger.safetensors", f"attack={attack}", *more)
    code, text = nba("evaluate", f"output={tmp_path}/runs", *given, dataset=False)
    assert code == 2 and "trigger.safetensors: " in text.splitlines()[-1] and "Traceback" not in text


def test_measuring_a_model_under_a_learned_trigger(nba: Run, trained: Trained, tmp_path: Path) -> None:
    clean = trained("attack=none", *SHORT)
    output = f"output={tmp_path}/runs"
    code, text = nba("evaluate", output, f"run={clean}", "attack=inputaware", *QUICK["inputaware"], dataset=False)
    assert code == 2 and "trained together with a victim" in text and "nba attack attack=inputaware" in text
    assert nba("attack", "attack=inputaware", *QUICK["inputaware"], *SHORT)[0] == 0
    victim = next(folder for folder in results(tmp_path, "attack") if "inputaware" in folder.name)
    assert nba("evaluate", output, f"run={clean}", "attack=inputaware", *QUICK["inputaware"], dataset=False)[0] == 0
    given = (f"trigger={victim}/trigger.safetensors", "attack=inputaware", *QUICK["inputaware"])
    weights = (f"weights={clean}/model.safetensors", "victim=wrn_16_1", "victim.depth=10")
    assert nba("evaluate", *weights, *given)[0] == 0
    one, two = map(metrics, results(tmp_path, "evaluate"))
    assert one["figures"] == two["figures"]
    assert one["digests"]["trigger"] == two["digests"]["trigger"] == metrics(victim)["digests"]["trigger"]
    code, text = nba("evaluate", *weights, "attack=inputaware", *QUICK["inputaware"])
    assert code == 2 and "trigger=FILE" in text, "bare weights do not say where the trigger is"
    assert nba("evaluate", output, f"run={victim}", dataset=False)[0] == 0
    again = [metrics(folder)["figures"] for folder in results(tmp_path, "evaluate")]
    assert metrics(victim)["figures"] in again, "a victim brings its trigger along"


def test_a_defended_joint_attack_is_measured_with_its_victims_trigger(nba: Run, tmp_path: Path) -> None:
    command = ("attack=inputaware", *QUICK["inputaware"], *SHORT)
    assert nba("defend", *command, "defense=none")[0] == 0
    victim = next(folder for folder in results(tmp_path, "attack") if "inputaware" in folder.name)
    (defended,) = results(tmp_path, "defend")
    assert metrics(victim)["figures"] == metrics(defended)["figures"]
    assert metrics(victim)["digests"]["trigger"] == metrics(defended)["digests"]["trigger"]
