"""A run on a pretrained backbone, from demonstrations to a policy that needs neither hub nor file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dexloop.config import RunConfig
from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.pretrained import PretrainedEncoder
from dexloop.networks.storage import load_agent
from dexloop.pipeline.learner import build_learner
from dexloop.pipeline.verbs import begin
from dexloop.runtime.learner import LearnerLoop
from tests.data.samples import SMALL_ROBOT, observations
from tests.networks.test_pretrained import backbone_file
from tests.pipeline.test_learner import CONFIG, made


def test_a_run_on_a_backbone_ends_in_a_policy_that_describes_itself(tmp_path: Path) -> None:
    file = backbone_file(tmp_path / "backbone.safetensors")
    encoder = EncoderConfig(name="resnet10t", keypoints=4, weights=file)
    config = replace(CONFIG, encoder=encoder, representation=replace(CONFIG.representation, crops=2))
    run = made(tmp_path / "run", config)
    file.unlink()

    clone = load_agent(run.prior)
    assert isinstance(clone.agent.latent.encoder, PretrainedEncoder)
    assert clone.architecture.encoder == replace(encoder, weights=None)
    torch.manual_seed(5)
    wanted = PretrainedEncoder(("top",), encoder).trunk.state_dict()
    trunk = clone.agent.latent.encoder.trunk.state_dict()
    assert all(torch.equal(trunk[key], value) for key, value in wanted.items())

    loop: LearnerLoop = build_learner(config, run)
    assert loop.turn()
    loop.publish()
    newest = load_agent(run.policy)
    assert newest.facts["version"] > 4, "past the warm-up"
    for observation in observations(SMALL_ROBOT, 2, 3):
        actions = [stored.agent.act(observation, explore=False).action for stored in (clone, newest)]
        assert all(np.isfinite(action).all() and np.abs(action).max() < 1 for action in actions)
        assert not np.array_equal(*actions), "it has learned something else by now"


def test_a_backbone_that_cannot_be_had_is_noticed_before_anything_is_recorded(tmp_path: Path) -> None:
    settings = replace(RunConfig(), encoder=EncoderConfig(name="resnet18", weights=tmp_path / "nowhere"))
    with pytest.raises(DexloopError, match="nowhere: no such file"):
        begin("cup", tmp_path / "run", settings, resume=False)
    assert not (tmp_path / "run").exists()
