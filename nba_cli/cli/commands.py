"""The commands: one row each. Imports nothing heavy, so that `nba --help` is instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from nba_cli.options import FOLDER

FLAGS = {"--cfg": ("job", "hydra", "all"), "--config-dir": (FOLDER,), "--multirun": ()}
"""The flags of composed commands that are explained, and the words that complete their values."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Fields:
    summary: one line for `nba --help`
    module: what is imported when the command is called; its `main` runs it
    about: what `nba COMMAND --help` says first
    examples: command lines
    composed: Hydra composes its settings, and `main` takes the name of the command before its arguments
    filters: words that are none of its options filter finished runs by their settings
    arguments: words that it takes as they stand
    """

    summary: str
    module: str
    about: str = ""
    examples: tuple[str, ...] = ()
    composed: bool = False
    filters: bool = False
    arguments: tuple[str, ...] = ()

    def load(self) -> Callable[..., int]:
        """The function that runs the command and returns its exit code."""
        return import_module(self.module).main


COMMANDS = {
    "preview": Command(
        summary="what the triggers look like, without training: a sheet of pictures",
        module="nba_cli.cli.tasks",
        about="Draws every trigger, or one, on test images: clean, triggered and the amplified difference, with L2, "
        "L_inf, PSNR and SSIM (means over the images shown, pixels in [0,1]). Trains nothing: learned triggers appear "
        "once `nba attack` has learned them with the same victim, data set, length and seed.",
        examples=(
            "nba preview",
            "nba preview attack=blend attack.alpha=0.2 dataset=cifar10",
            "nba preview 'images=[3,17,42]'",
        ),
        composed=True,
    ),
    "attack": Command(
        summary="poison a training set and train a victim on it",
        module="nba_cli.cli.tasks",
        about="Poisons the training set of a data set, trains a victim on it, and measures clean accuracy (ACC), "
        "attack success rate (ASR) and robust accuracy (RA). The result is a run folder with weights, metrics and a "
        "picture.",
        examples=(
            "nba attack attack=blend",
            "nba attack attack=badnets attack.rate=0.05 dataset=cifar10 seed=1",
            "nba attack --multirun 'attack=glob(*)' 'seed=range(3)'",
        ),
        composed=True,
    ),
    "defend": Command(
        summary="clean a victim of its backdoor and measure before and after",
        module="nba_cli.cli.tasks",
        about="Cleans a victim of its backdoor with a few clean images, and measures before and after. The victim is "
        "the one that `nba attack` makes from the same settings; it is trained first when it is missing. A defense "
        "sees the model and the clean images, never the trigger, the target class or test data.",
        examples=(
            "nba defend attack=blend defense=nba",
            "nba defend attack=blend defense=nba defense.pseudo=bank defense.eps=0.08",
            "nba defend --multirun attack=badnets,blend defense=none,ft,nba",
            "nba defend +experiment=six_attacks dry_run=true",
        ),
        composed=True,
    ),
    "evaluate": Command(
        summary="measure a finished run, or weights of your own, under a trigger",
        module="nba_cli.cli.tasks",
        about="Measures the model of a finished run, or weights of your own. A trigger, victim or data set that is "
        "given replaces the run's own: a clean victim under attack=blend shows the ASR floor and the RA reference of "
        "blend.",
        examples=(
            "nba evaluate run=runs/attack/NAME",
            "nba evaluate run=runs/attack/NAME attack=blend",
            "nba evaluate weights=model.safetensors victim=wrn_16_1 dataset=cifar10 attack=badnets",
            "nba evaluate weights=attack_result.pt",
        ),
        composed=True,
    ),
    "table": Command(
        summary="finished runs as a table",
        module="nba_cli.reports.table",
        about="A section for each attack, a line for each defense, mean ± standard deviation over victims. A figure is "
        "marked as the best if it is better than every other defense in its place (none does not compete): the paired "
        "difference has a 95 % interval that excludes 0. With experiment=…, runs that are missing are listed with the "
        "commands that make them.",
        examples=(
            "nba table dataset=cifar10",
            "nba table experiment=six_attacks file=six_attacks.html",
            "nba table attack=badnets rows=defense.beta against=1.0",
            "nba table layout=matrix figures=asr file=asr.tex",
            "nba table stage=attack format=markdown",
        ),
        filters=True,
    ),
    "plot": Command(
        summary="curves of finished runs as PNG and SVG",
        module="nba_cli.reports.plot",
        about="Draws what finished runs left behind: how victims and defenses were trained, how ACC, ASR and RA moved "
        "while a defense worked (of runs made with snapshots=true), or how they depend on a setting that a sweep "
        "varied, with one standard deviation over victims: a band along numbers, bars at words.",
        examples=(
            "nba plot attack=blend",
            "nba plot kind=defense attack=blend defense=ft,nba",
            "nba plot x=defense.beta defense=nba file=figures/beta",
            "nba plot x=defense attack=blend compare=published",
        ),
        filters=True,
    ),
    "status": Command(
        summary="what is finished, running, interrupted or failed",
        module="nba_cli.cli.status",
    ),
    "doctor": Command(
        summary="versions, device, data sets, disk, and a five-second speed check", module="nba_cli.cli.doctor"
    ),
    "completion": Command(
        summary="completion with TAB, in bash, zsh or fish",
        module="nba_cli.cli.completion",
        about="Prints the lines that the shell reads when it starts. TAB then completes commands, groups and their "
        "choices, options and their values, and files. The first TAB after an update takes seconds.",
        examples=(
            """echo 'eval "$(nba completion)"' >> ~/.bashrc""",
            """echo 'eval "$(nba completion zsh)"' >> ~/.zshrc""",
            "echo 'nba completion fish | source' >> ~/.config/fish/config.fish",
        ),
        arguments=("bash", "zsh", "fish"),
    ),
}
