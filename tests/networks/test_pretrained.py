"""Backbones: from a local file or the hub, what is refused, and what learns on their maps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from dexloop.algorithms.representation import FrameSet, RepresentationConfig, train_encoder
from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder
from dexloop.networks.pretrained import PretrainedEncoder, build_encoder, load_backbone
from dexloop.networks.resnet import ResNetTrunk

CONFIG = EncoderConfig(name="resnet10t", keypoints=4)


def backbone_file(path: Path, name: str = "resnet10t", seed: int = 5) -> Path:
    """A file such as the hub has, of random weights: also with what the trunk leaves out."""
    torch.manual_seed(seed)
    tensors = dict(ResNetTrunk(name).state_dict())
    tensors |= {"layer3.0.conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(2)}
    tensors["bn1.num_batches_tracked"] = torch.tensor(7)
    safetensors.torch.save_file(tensors, path)
    return path


def refused(config: EncoderConfig) -> str:
    with pytest.raises(DexloopError) as caught:
        load_backbone(ResNetTrunk(config.name), config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["resnet10t", "resnet18"])
def test_weights_come_from_a_local_file(tmp_path: Path, name: str) -> None:
    path = backbone_file(tmp_path / "backbone.safetensors", name)
    trunk = ResNetTrunk(name)
    load_backbone(trunk, EncoderConfig(name=name, weights=path))  # type: ignore[arg-type]
    stored = safetensors.torch.load_file(path)
    assert all(torch.equal(value, stored[key]) for key, value in trunk.state_dict().items())


def test_files_that_are_no_such_backbone_are_refused_by_name(tmp_path: Path) -> None:
    path = backbone_file(tmp_path / "backbone.safetensors", "resnet18")
    for other in (tmp_path / "nothing", tmp_path):
        assert str(other) in refused(replace(CONFIG, weights=other))
    message = refused(replace(CONFIG, weights=path))
    assert str(path) in message and "resnet10t" in message and "conv1.0.weight is missing" in message
    tensors = safetensors.torch.load_file(path) | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    safetensors.torch.save_file(tensors, path)
    assert "conv1.weight is of shape [64, 1, 7, 7]" in refused(EncoderConfig(name="resnet18", weights=path))
    path.write_bytes(path.read_bytes()[:-5])
    assert str(path) in refused(EncoderConfig(name="resnet18", weights=path))


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    torch.save(ResNetTrunk("resnet10t").state_dict(), tmp_path / "backbone.pth")
    assert "no safetensors file" in refused(replace(CONFIG, weights=tmp_path / "backbone.pth"))


SAY_WHAT_IS_WRONG = """
import sys
if sys.argv[1] == "missing":
    sys.modules["huggingface_hub"] = None
from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.pretrained import load_backbone
from dexloop.networks.resnet import ResNetTrunk
try:
    load_backbone(ResNetTrunk("resnet18"), EncoderConfig(name="resnet18"))
except DexloopError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("what", "wanted"), [("missing", "pip install 'dexloop[pretrained]'"), ("unreachable", "timm/resnet18.a1_in1k")]
)
def test_without_the_hub_one_line_says_what_to_do(tmp_path: Path, what: str, wanted: str) -> None:
    """In a process of its own, as the hub's library reads these variables when it is imported."""
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", SAY_WHAT_IS_WRONG, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=variables)
    (line,) = done.stdout.splitlines()
    assert wanted in line and "--encoder.weights FILE" in line and "--encoder.name resnet18" in line, line


def test_only_the_heads_learn(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(("top", "side"), CONFIG)
    assert isinstance(encoder, PretrainedEncoder) and encoder.feature_size == 16
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    images = torch.randint(0, 256, (16, 2, 3, 16, 24), dtype=torch.uint8)
    frames = FrameSet(images, torch.zeros(16, 2), torch.randn(16, 2), torch.randn(16, 3))
    train_encoder(encoder, frames, RepresentationConfig(updates=3, batch=8, shift=1))
    moved = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and all(key.startswith("heads.") for key in moved)


def test_each_camera_has_points_of_its_own() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(("top", "side"), CONFIG)
    images = torch.randint(0, 256, (3, 2, 3, 16, 24), dtype=torch.uint8)
    with torch.no_grad():
        features = encoder(images)
        other = encoder(torch.cat([images[:, :1], 255 - images[:, 1:]], 1))
        found = encoder.detect(images).unflatten(1, (2, 12))
    assert features.shape == (3, 16) and features.abs().max() <= 1
    assert torch.equal(other[:, :8], features[:, :8]) and not torch.allclose(other[:, 8:], features[:, 8:])
    torch.testing.assert_close(found[:, :, :8].flatten(1), features)
    assert found[:, :, 8:].std(0).min() > 0


def test_the_default_is_the_small_network() -> None:
    assert isinstance(build_encoder(("top",), EncoderConfig()), KeypointEncoder)
    with pytest.raises(ValueError, match="resnet50"):
        build_encoder(("top",), EncoderConfig(name="resnet50"))  # type: ignore[arg-type]
