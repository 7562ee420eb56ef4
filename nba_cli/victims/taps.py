"""Which modules of a network make its stages, and how what they put out becomes maps [N,C,H,W]."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn

from nba_cli.errors import Refused
from nba_cli.victims.probe import blank_pass

DEEPEST = 4  # stages at most

AsMap = Callable[[Tensor], Tensor]
"""Output of a tapped module -> map [N,C,H,W]."""


def maps(out: Tensor) -> Tensor:
    """What convolutions put out is a map already: [N,C,H,W] -> the same."""
    return out


def windows(out: Tensor) -> Tensor:
    """Swin's tokens lie in their grid, channels last: [N,H,W,C] -> [N,C,H,W]."""
    return out.permute(0, 3, 1, 2)


def tokens(out: Tensor, grid: tuple[int, int]) -> Tensor:
    """A ViT's tokens [N,T,D], those of the patches last and row by row: their D features as a map [N,D,h,w].

    `grid` is (h,w). The T - h w tokens before them (class token, registers) have no place in the image and are left
    out.
    """
    height, width = grid
    return out[:, out.shape[1] - height * width :].transpose(1, 2).unflatten(2, (height, width))


@dataclass
class Seen:
    """What the modules of a network put out in one pass.

    Fields:
        last: (H,W) -> the last module whose output is [N,C,H,W], as far as its shape tells
        spatial: those (H,W) that convolutions put out
        middle: (H,W) -> the last module whose output is [N,H,W,C], as far as its shape tells
        gridded: those (H,W) that layer norms put out
        sequences: name of a module -> [T,D] of its output [N,T,D]
        convolved: (H,W) of the last convolution
    """

    last: dict[tuple[int, int], str] = field(default_factory=dict)
    spatial: set[tuple[int, int]] = field(default_factory=set)
    middle: dict[tuple[int, int], str] = field(default_factory=dict)
    gridded: set[tuple[int, int]] = field(default_factory=set)
    sequences: dict[str, tuple[int, int]] = field(default_factory=dict)
    convolved: tuple[int, int] = (0, 0)

    def note(self, name: str, module: nn.Module, out: object) -> None:
        if isinstance(out, Tensor) and out.ndim == 3:
            self.sequences[name] = (out.shape[1], out.shape[2])
        if not isinstance(out, Tensor) or out.ndim != 4:
            return
        _, one, two, three = out.shape
        if isinstance(module, nn.Conv2d):
            self.convolved = (two, three)
        if min(two, three) > 1:
            self.last[(two, three)] = name
            if isinstance(module, nn.Conv2d):
                self.spatial.add((two, three))
        if min(one, two) > 1:
            self.middle[(one, two)] = name
            if isinstance(module, nn.LayerNorm):
                self.gridded.add((one, two))


def find_taps(net: nn.Module, shape: tuple[int, int, int]) -> tuple[list[str], AsMap]:
    """Names of the modules that make the stages, shallow to deep, and what makes maps of their outputs.

    Of a convolutional network, and of a transformer whose tokens lie in shrinking grids [N,H,W,C] (Swin), these are the
    last outputs at each of the `DEEPEST` resolutions, 1x1 left out. Of one whose tokens are a sequence [N,T,D] (ViT),
    they are `DEEPEST` of its equal blocks, at equal distances, see `of_blocks`. Found by one pass of a blank image
    through a copy on the meta device: no arithmetic, no memory.

    Raises:
        Refused: the images do not fit it, or it is no such classifier with one output [N,K].
    """
    seen = Seen()
    probe = copy.deepcopy(net).to("meta").train()
    for name, module in probe.named_modules():
        if name:
            module.register_forward_hook(lambda module, given, out, name=name: seen.note(name, module, out))
    out = blank_pass(probe, net, shape)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in probe.modules())
    of_maps = [name for size, name in seen.last.items() if size in seen.spatial]
    of_grids = [name for size, name in seen.middle.items() if size in seen.gridded]
    found: tuple[list[str], AsMap] = (of_maps[-DEEPEST:], maps)
    if len(of_maps) < 2 or convolutions < 4:  # ConvNeXt, too, has layer norms on [N,H,W,C]
        found = (of_grids[-DEEPEST:], windows) if len(of_grids) > 1 else of_blocks(probe, seen)
    if out.ndim != 2 or len(found[0]) < 2:
        raise Refused(
            "victim: neither a convolutional classifier nor a vision transformer with one output. resnet50, vit_b_16, "
            "swin_t ... would be."
        )
    return found


def of_blocks(probe: nn.Module, seen: Seen) -> tuple[list[str], AsMap]:
    """The taps of a transformer of equal blocks on tokens [N,T,D]; none if it has no such blocks.

    Blocks are the children of one kind and one output of the outermost container that has several. No logit reads what
    the last block makes of the patches where a class token is classified: there, the stages are outputs of the blocks
    before it, which the last block reads.
    """
    for name, container in probe.named_modules():
        if not isinstance(container, (nn.Sequential, nn.ModuleList)):
            continue
        children = [(f"{name}.{key}".removeprefix("."), child) for key, child in container.named_children()]
        sizes = {(type(child), seen.sequences.get(path)) for path, child in children}
        (_, size), *others = sizes or {(None, None)}
        if others or size is None or len(children) < 2:
            continue
        height, width = seen.convolved
        more = size[0] - height * width
        if not 0 <= more < size[0]:
            continue
        blocks = [path for path, _ in children][: -1 if more else None]
        count = min(DEEPEST, len(blocks))
        picked = [blocks[(k + 1) * len(blocks) // count - 1] for k in range(count)]
        return picked, partial(tokens, grid=(height, width))
    return [], maps
