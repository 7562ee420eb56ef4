"""How visible a trigger is: L2, L_inf, PSNR and SSIM between clean and triggered images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Attack, stamped
from nba_cli.data import Data, scaled_batch

PSNR_MAX = 100.0  # of an unchanged image, whose PSNR is infinite


def of_images(clean: Tensor, triggered: Tensor) -> dict[str, Tensor]:
    """uint8 [N,C,H,W] twice -> float [N] each, for pixels in [0,1].

    l2: Euclidean norm of the change. linf: largest change of a pixel. psnr: 10 log10(1 / mean squared change) in dB,
    at most PSNR_MAX. ssim: structural similarity, 1 for equal images.
    """
    x, y = clean.float() / 255, triggered.float() / 255
    change = (y - x).flatten(1)
    error = change.square().mean(1)
    psnr = (-10 * error.clamp_min(10 ** (-PSNR_MAX / 10)).log10()).clamp_max(PSNR_MAX)
    return {"l2": change.norm(dim=1), "linf": change.abs().amax(1), "psnr": psnr, "ssim": ssim(x, y)}


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity [N] of float [N,C,H,W] in [0,1]: mean over positions and channels.

    Wang, Bovik, Sheikh & Simoncelli 2004: a Gaussian window of 11 pixels, sigma 1.5, constants 0.01^2 and 0.03^2.
    Smaller images get a window of their size.
    """
    side = min(11, *(size - (size + 1) % 2 for size in x.shape[2:]))
    line = torch.exp(-((torch.arange(side, device=x.device) - side // 2) ** 2) / (2 * 1.5**2))
    line = line / line.sum()
    channels = x.shape[1]
    window = (line[:, None] * line[None, :]).expand(channels, 1, side, side)

    def local(z: Tensor) -> Tensor:
        return F.conv2d(z, window, groups=channels)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    both = local(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return (similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3))


def of_attack(attack: Attack, test: Data, num_classes: int, batch: int = 1000) -> dict[str, float]:
    """Means over the test images that the trigger is meant for; empty without a trigger.

    `batch` counts images of 32x32, of larger ones fewer are taken at a time.
    """
    index = attack.meant_for(test.labels, num_classes)
    parts = index.split(scaled_batch(batch, test.images))
    found = [of_images(test.images[part], stamped(attack, test.images[part], part)) for part in parts]
    if not len(index):
        return {}
    return {name: torch.cat([part[name] for part in found]).mean().item() for name in found[0]}
