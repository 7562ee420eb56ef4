"""The stages of transformers: which modules make them, and how tokens become maps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.victims import Tapped, Torchvision, Victim, ViTTiny, wrap
from nba_cli.victims.taps import tokens, windows

GIVEN = {"mean": [0.5] * 3, "std": [0.5] * 3}


def data(height: int = 32, width: int = 32) -> Data:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, height, width), generator=random, dtype=torch.uint8)
    return Data(images, torch.tensor([0, 1]))


def taps(victim: Victim, side: int = 32) -> list[str]:
    network = victim.build(2, data(side, side))
    assert isinstance(network, Tapped) and not network.convolutional
    return network.taps


def test_tokens_by_hand() -> None:
    """One image, a class token, patches of a 2x3 grid row by row, two features."""
    out = torch.tensor([[[9, 90], [0, 0], [1, 10], [2, 20], [3, 30], [4, 40], [5, 50]]])
    assert tokens(out, (2, 3)).tolist() == [[[[0, 1, 2], [3, 4, 5]], [[0, 10, 20], [30, 40, 50]]]]
    assert torch.equal(tokens(out[:, 1:], (2, 3)), tokens(out, (2, 3))), "without a class token"


def test_windows_by_hand() -> None:
    out = torch.arange(24).reshape(1, 2, 3, 4)
    found = windows(out)
    assert found.shape == (1, 4, 2, 3) and found[0, 3, 1, 2] == out[0, 1, 2, 3]


def test_the_map_of_a_patch_is_made_of_its_own_pixels() -> None:
    """Before any attention, a change of one patch moves its place of the map and no other."""
    network = ViTTiny(patch=8, depth=3).build(2, data())
    assert isinstance(network, Tapped)
    for block in network.net.encoder.layers:  # type: ignore[union-attr]
        nn.init.zeros_(block.self_attention.out_proj.weight)
    images = torch.rand(1, 3, 32, 32)
    changed = images.clone()
    changed[:, :, 8:16, 24:32] = 0  # row 1, column 3
    with torch.no_grad():
        (one, _), (two, _) = (network.eval().features(x)[0] for x in (images, changed))
    moved = (one - two).abs().amax(1)[0] > 1e-6
    assert one.shape == (1, 192, 4, 4) and moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("depth", "blocks"), [(3, [0, 1]), (4, [0, 1, 2]), (5, [0, 1, 2, 3]), (6, [0, 1, 2, 4]), (12, [1, 4, 7, 10])]
)
def test_stages_of_a_vit_are_blocks_at_equal_distances_without_the_last(depth: int, blocks: list[int]) -> None:
    assert taps(ViTTiny(depth=depth)) == [f"encoder.layers.encoder_layer_{number}" for number in blocks]


def test_a_logit_depends_on_every_stage() -> None:
    """What the last block makes of the patches is read by none, so it is no stage."""
    network = ViTTiny(patch=8, depth=4).build(2, data())
    assert isinstance(network, Tapped)
    seen: dict[str, Tensor] = {}
    for name in [*network.taps, last := "encoder.layers.encoder_layer_3"]:
        network.net.get_submodule(name).register_forward_hook(lambda m, x, out, name=name: seen.update({name: out}))
    network(torch.rand(2, 3, 32, 32)).sum().backward(inputs=(kept := list(seen.values())))
    read = {name: bool(out.grad[:, 1:].any()) for name, out in zip(seen, kept, strict=True)}  # type: ignore[index]
    assert read == dict.fromkeys(network.taps, True) | {last: False}


def test_stages_of_swin_are_the_last_outputs_of_its_grids() -> None:
    assert taps(Torchvision(name="swin_t")) == ["features.1", "features.3", "features.5"]
    assert taps(Torchvision(name="swin_t"), 64)[-1] == "norm", "what is pooled and classified"


@pytest.mark.parametrize("side", [32, 64])
def test_a_vit_of_torchvision_is_built_for_the_images(side: int) -> None:
    network = Torchvision(name="vit_b_32").build(2, data(side, side)) if side == 64 else ViTTiny().build(2, data())
    stages, logits = copy.deepcopy(network).to("meta").features(torch.zeros(2, 3, side, side, device="meta"))
    assert stages[0].shape == ((2, 768, 2, 2) if side == 64 else (2, 192, 8, 8)) and logits.shape == (2, 2)


class Pooled(nn.Module):
    """A transformer without a class token, of somebody's own."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(depth))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def test_where_all_tokens_are_pooled_the_last_block_counts() -> None:
    network = wrap(Pooled(3), **GIVEN, shape=(3, 16, 24))  # type: ignore[arg-type]
    assert network.taps == ["blocks.0", "blocks.1", "blocks.2"]
    assert [stage.shape for stage in network.features(torch.rand(2, 3, 16, 24))[0]] == [(2, 8, 4, 6)] * 3
    with pytest.raises(Refused, match="neither a convolutional classifier nor a vision transformer"):
        wrap(Pooled(1), **GIVEN, shape=(3, 16, 24))  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width", "patch"), [(32, 32, 5), (32, 28, 4), (32, 32, 32)])
def test_patches_that_do_not_fit_are_refused(height: int, width: int, patch: int) -> None:
    with pytest.raises(Refused, match=rf"victim.patch={patch}: images of {height}x{width} are not divided"):
        ViTTiny(patch=patch).build(2, data(height, width))


def test_a_vit_of_torchvision_takes_square_images() -> None:
    with pytest.raises(Refused, match=r"images of 32x64 do not fit it"):
        Torchvision(name="vit_b_16").build(2, data(32, 64))
