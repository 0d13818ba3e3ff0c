"""The trunk computes what timm's networks do, on whatever mode a module around it is in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dexloop.networks.resnet import BACKBONES, ResNetTrunk

# Names and shapes in timm 1.0's files, some of each kind.
IN_TIMM = {
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.1.conv2.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_mean": (128,),
        "layer2.1.bn2.bias": (128,),
    },
    "resnet10t": {
        "conv1.0.weight": (24, 3, 3, 3),
        "conv1.4.weight": (32,),
        "conv1.6.weight": (64, 32, 3, 3),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer2.0.downsample.1.weight": (128, 64, 1, 1),
        "layer2.0.downsample.2.running_var": (128,),
    },
}


def trunk(name: str) -> ResNetTrunk:
    """With statistics and gains that are not the identity."""
    torch.manual_seed(0)
    made = ResNetTrunk(name)
    for key, value in made.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif value.ndim == 1:
            value.normal_(0.5, 0.3)
    return made


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_have_the_names_that_timm_gives_them(name: str) -> None:
    shapes = {key: tuple(value.shape) for key, value in ResNetTrunk(name).state_dict().items()}
    assert IN_TIMM[name].items() <= shapes.items()
    assert all(key.startswith(("conv1.", "bn1.", "layer1.", "layer2.")) for key in shapes)
    assert len(shapes) == {"resnet18": 50, "resnet10t": 40}[name]


def by_hand(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """ResNet-18's first half as its paper has it, with PyTorch's own batch normalisation."""

    def normed(x: Tensor, key: str) -> Tensor:
        mean, var, gain, bias = (weights[f"{key}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        shape = (1, -1, 1, 1)
        return (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt() * gain.view(shape) + bias.view(shape)

    def block(x: Tensor, key: str, stride: int) -> Tensor:
        inner = functional.conv2d(x, weights[f"{key}.conv1.weight"], stride=stride, padding=1)
        inner = functional.conv2d(normed(inner, f"{key}.bn1").relu(), weights[f"{key}.conv2.weight"], padding=1)
        if stride > 1:
            x = functional.conv2d(x, weights[f"{key}.downsample.0.weight"], stride=stride)
            x = normed(x, f"{key}.downsample.1")
        return (normed(inner, f"{key}.bn2") + x).relu()

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    x = normed(functional.conv2d(x, weights["conv1.weight"], stride=2, padding=3), "bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    fine = block(block(x, "layer1.0", 1), "layer1.1", 1)
    coarse = block(block(fine, "layer2.0", 2), "layer2.1", 1)
    return torch.cat([fine, functional.interpolate(coarse, fine.shape[-2:], mode="bilinear")], 1)


def test_resnet18_is_what_its_paper_says() -> None:
    made = trunk("resnet18")
    images = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8)
    maps = made(images)
    assert maps.shape == (2, ResNetTrunk.channels, 6, 8)
    torch.testing.assert_close(maps, by_hand(made.state_dict(), images), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made(images.float()), maps)


@pytest.mark.parametrize("name", BACKBONES)
def test_nothing_in_it_moves(name: str) -> None:
    made = trunk(name)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    images = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8)
    maps = made.eval()(images)
    assert torch.equal(made.train()(images), maps), "statistics are stored ones in training too"
    assert not maps.requires_grad and not any(p.requires_grad for p in made.parameters())
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="resnet50"):
        ResNetTrunk("resnet50")
