"""Pictures for people: what a trigger looks like."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from attacks import Attack, stamped
from nba_cli import files
from nba_cli.data import Data
from nba_cli.pipeline.difference import difference

COLUMNS = 8
GAP = 6
TEXT = 22


def tile(image: Tensor, scale: int) -> Image.Image:
    """uint8 [C,H,W] as a picture, every pixel a square of `scale` x `scale`."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels).resize((scale * image.shape[2], scale * image.shape[1]), Image.Resampling.NEAREST)


def trigger_sheet(attack: Attack, test: Data, num_classes: int, path: Path) -> None:
    """Write a PNG of eight test images that the trigger is meant for: clean, triggered, amplified difference.

    Without a trigger there is no picture.
    """
    index = attack.meant_for(test.labels, num_classes)[:COLUMNS]
    if not len(index):
        return
    clean = test.images[index]
    triggered = stamped(attack, clean, index)
    change = difference(clean, triggered)
    rows = [("clean", clean), ("triggered", triggered), (change.caption, change.images)]

    scale = max(1, round(96 / clean.shape[3]))
    height, width = clean.shape[2] * scale, clean.shape[3] * scale
    sheet = Image.new("RGB", (GAP + COLUMNS * (width + GAP), GAP + len(rows) * (TEXT + height + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (title, images) in enumerate(rows):
        top = GAP + row * (TEXT + height + GAP)
        draw.text((GAP, top + 2), title, fill="black", font=ImageFont.load_default(14))
        for column, image in enumerate(images.cpu()):
            sheet.paste(tile(image, scale), (GAP + column * (width + GAP), top + TEXT))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    files.write(path, buffer.getvalue())
