"""Triggers side by side, as a picture and in the terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import rich
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from rich.table import Table
from rich.text import Text
from torch import Tensor

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.pipeline.difference import Difference
from nba_cli.pipeline.pictures import tile

LABEL, GAP, PAD = 250, 4, 14  # widths on the sheet in pixels
INK, GREY, LINE = "#1a1a1a", "#6b6b6b", "#dddddd"
SIDE = 96  # of a picture on the sheet, about


@dataclass(frozen=True)
class View:
    """One trigger on the chosen images: pictures uint8 [N,C,H,W], or a note why there are none yet."""

    name: str
    about: str
    triggered: Tensor | None = None
    difference: Difference | None = None
    figures: dict[str, float] | None = None
    note: str = ""

    def numbers(self) -> list[str]:
        if self.figures is None:
            return ["—"] * 4
        return [f"{self.figures['l2']:.2f}", f"{self.figures['linf']:.3f}", f"{self.figures['psnr']:.1f}",
                f"{self.figures['ssim']:.3f}"]  # fmt: skip


def save(clean: Tensor, views: list[View], path: Path) -> None:
    """Write a PNG: the clean images on top, then two rows a trigger: triggered and amplified difference."""
    scale = max(1, round(SIDE / clean.shape[3]))
    height, width = clean.shape[2] * scale, clean.shape[3] * scale
    columns = len(clean)
    block = 2 * height + GAP + 2 * PAD
    heights = [height + 2 * PAD, *(block if view.triggered is not None else 64 for view in views)]
    canvas = Image.new("RGB", (PAD + LABEL + columns * (width + GAP) - GAP + PAD, sum(heights)), "white")
    draw = ImageDraw.Draw(canvas)

    def row(images: Tensor, top: int) -> None:
        for column, image in enumerate(images):
            canvas.paste(tile(image, scale), (PAD + LABEL + column * (width + GAP), top))

    def small(top: int, line: str, left: int = PAD) -> None:
        draw.text((left, top), line, fill=GREY, font=ImageFont.load_default(15))

    def words(top: int, title: str, lines: list[str]) -> None:
        draw.text((PAD, top), title, fill=INK, font=ImageFont.load_default(24))
        for number, line in enumerate(lines):
            small(top + 34 + 20 * number, line)

    words(PAD, "clean", [])
    row(clean, PAD)
    top = heights[0]
    for view, tall in zip(views, heights[1:], strict=True):
        draw.line([(PAD, top), (canvas.width - PAD, top)], fill=LINE)
        if view.triggered is None or view.difference is None:
            words(top + 18, view.name, [])
            small(top + 24, view.note, PAD + LABEL)
        else:
            l2, linf, psnr, ssim = view.numbers()
            words(top + PAD, view.name, [view.about, f"L2 {l2}   Linf {linf}", f"PSNR {psnr} dB   SSIM {ssim}"])
            small(top + PAD + height + GAP, view.difference.caption)
            row(view.triggered, top + PAD)
            row(view.difference.images, top + PAD + height + GAP)
        top += tall
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    files.write(path, buffer.getvalue())


def table(views: list[View]) -> Table:
    """Mode, rate and distances of every trigger."""
    found = Table(box=None, padding=(0, 2), header_style="bold")
    for title in ("trigger", "poisons"):
        found.add_column(title)
    for title in ("L2", "Linf", "PSNR", "SSIM"):
        found.add_column(title, justify="right")
    for view in views:
        found.add_row(view.name, view.about, *view.numbers())
    return found


def half_blocks(images: list[Tensor]) -> list[Text]:
    """Pictures uint8 [C,H,W] side by side as lines of half blocks: two pixels a character."""
    gap = torch.zeros(3, images[0].shape[1], 2, dtype=torch.uint8)
    wide = torch.cat([part for image in images for part in (image.expand(3, -1, -1), gap)], dim=2).permute(1, 2, 0)
    lines = []
    for upper, lower in zip(wide[0::2].tolist(), wide[1::2].tolist(), strict=False):
        line = Text()
        for over, under in zip(upper, lower, strict=True):
            line.append("▀", Style(color=Color.from_rgb(*over), bgcolor=Color.from_rgb(*under)))
        lines.append(line)
    return lines


def show(clean: Tensor, views: list[View]) -> None:
    """In a terminal with enough colours and columns: clean, triggered and difference of the first image."""
    console = rich.get_console()
    if console.is_terminal and console.color_system == "truecolor" and console.width >= 3 * (clean.shape[3] + 2):
        for view in views:
            if view.triggered is not None and view.difference is not None:
                console.print(f"\n[bold]{view.name}[/bold]  clean, triggered, {view.difference.caption}")
                for line in half_blocks([clean[0], view.triggered[0], view.difference.images[0]]):
                    console.print(line)
        console.print()
    rich.print(table(views))
    for view in views:
        if view.note:
            LOG.info(f"{view.name}: {view.note}")
