"""A chunking policy makes the rollouts, and what of them succeeded is cloned as well."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dexloop.algorithms.act import ActConfig
from dexloop.algorithms.bc import CloningConfig
from dexloop.config import RecordConfig, RunConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.networks.act_storage import load_act
from dexloop.networks.storage import load_agent
from dexloop.pipeline import verbs
from dexloop.pipeline.learner import build_learner
from dexloop.pipeline.record import record_rollouts, rollout_seconds
from dexloop.pipeline.run import Run
from dexloop.pipeline.verbs import fork
from dexloop.presets import PRESETS
from dexloop.rewards.environment import EnvironmentReward
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from tests.digests import digest
from tests.lift import GRASPED, UP, Constant, lift

# Succeeds as well, but not as was demonstrated.
GENTLY = Constant(0.9, 0.8)


def make_policy(spec: object) -> Constant:
    return GRASPED


def settings(**record: object) -> RunConfig:
    return replace(
        PRESETS["smoke"],
        observation="privileged",
        reward="simulation",
        operator="tests.pipeline.test_distil:make_policy",
        record=replace(
            RecordConfig(episodes=3, rollouts=2, rollouts_by="act", rollout_noise=0.0, tail_seconds=0.0), **record
        ),
        cloning=CloningConfig(updates=30),
        act=ActConfig(updates=2),
    )


def begun(root: Path, config: RunConfig) -> Run:
    """A run on a robot that lifts, with its demonstrations and its clone."""
    _, robot = lift()
    run = Run(RunDirectory(root), config, robot)
    run.record()
    run.pretrain()
    return run


def rolled_out(run: Run, policy: Constant) -> None:
    """Rollouts of this policy, instead of the run's own."""
    record_rollouts(run.config, run.robot, [policy], run.directory.rollouts, EnvironmentReward()).close()


def test_rollouts_are_the_chunking_policys_and_every_third_one_the_clumsy_clones(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings(rollouts=7, rollout_noise=0.8))
    run.collect_rollouts()
    act, rollouts = load_act(run.directory.act).agent, EpisodeDataset.open(run.directory.rollouts)
    same: list[bool] = []
    for index in rollouts.episodes:
        act.reset(0)
        steps = rollouts.episode(index).transitions
        same.append(all(np.allclose(act.act(t.observation, True).action, t.proposed, atol=1e-5) for t in steps))
    first = episode_seed(Purpose.ROLLOUTS, 0, 0)
    wanted = [(rollouts.episode_info(index).seed - first) % 3 < 2 for index in rollouts.episodes]
    assert same == wanted and set(wanted) == {True, False}


def test_successful_rollouts_are_cloned_and_learning_begins_there(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings())
    rolled_out(run, GENTLY)
    assert run.directory.start == run.directory.prior
    run.distil()
    assert run.directory.start == run.directory.distilled
    prior, start = load_agent(run.directory.prior), load_agent(run.directory.start)
    heads = len(prior.agent.head.heads)
    assert start.architecture == replace(prior.architecture, members=2 * heads)
    kept = zip(prior.agent.head.heads, start.agent.head.heads[:heads], strict=True)
    assert all(
        torch.equal(a, b) for one, other in kept for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
    taught = start.agent.head.heads[heads].state_dict()
    assert any(not torch.equal(taught[key], value) for key, value in prior.agent.head.heads[0].state_dict().items())
    latents = zip(prior.agent.latent.state_dict().values(), start.agent.latent.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in latents), "critics and classifier see as before"

    loop = build_learner(run.config, run.directory)
    loop.publish()
    first = load_agent(run.directory.policy).agent.head.state_dict()
    wanted = start.agent.head.state_dict()
    assert all(torch.equal(first[key], wanted[key]) for key in wanted)

    made = digest(run.directory.distilled)
    run.distil()
    assert digest(run.directory.distilled) == made, "once"
    other = fork(run, run.config, tmp_path / "other")
    assert digest(other.directory.distilled) == made


def test_without_a_success_learning_begins_with_the_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begun(tmp_path / "run", settings())
    rolled_out(run, UP)
    run.distil()
    assert run.directory.start == run.directory.prior
    assert "0 of 2 rollouts succeeded\n" in capsys.readouterr().err


def test_the_clone_alone_makes_rollouts_where_that_is_wanted(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings(rollouts_by="clone"))
    rolled_out(run, GRASPED)
    run.distil()
    assert not run.directory.act.exists() and not run.directory.distilled.exists()


def test_what_has_begun_to_learn_goes_on_from_where_it_began(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings())
    rolled_out(run, GRASPED)
    with EpisodeDataset.create(run.directory.episodes, run.robot.spec):
        pass
    run.distil()
    assert not run.directory.distilled.exists()


def test_a_new_clone_is_not_mixed_with_what_the_old_one_taught(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings())
    rolled_out(run, GRASPED)
    run.distil()
    old = digest(run.directory.act)
    run.directory.prior.unlink()
    run.config = replace(run.config, seed=1)
    run.pretrain()
    assert not run.directory.distilled.exists() and digest(run.directory.act) != old


def test_a_chunking_policy_that_is_missing_is_made_anew_where_rollouts_are(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings())
    run.directory.act.unlink()
    rolled_out(run, GENTLY)
    run.collect_rollouts()
    assert not run.directory.act.exists(), "its rollouts are there"
    shutil.rmtree(run.directory.rollouts)
    run.collect_rollouts()
    assert (
        run.directory.act.is_file() and len(EpisodeDataset.open(run.directory.rollouts)) == run.config.record.rollouts
    )


def test_the_clone_that_learning_begins_with_is_evaluated_at_its_price(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", settings())
    rolled_out(run, GENTLY)
    run.distil()
    verbs.evaluate(run, 2, blank=False)
    entries = {e["policy"]: e["robot_minutes"] for e in run.directory.read_json(run.directory.evaluation)}
    spent = round(rollout_seconds(run.directory.rollouts) / 60, 2)
    assert entries == {"demonstrations": 0.0, "bc": 0.0, "distilled": spent} and spent > 0
    verbs.report(run.directory.root)
    assert "Clone with ACT&#39;s rollouts" in run.directory.report.read_text()
