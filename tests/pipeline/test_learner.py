"""The learner of a run with pictures: what it keeps for a resume changes no number, only the time it takes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dexloop.algorithms.bc import CloningConfig
from dexloop.algorithms.representation import RepresentationConfig
from dexloop.algorithms.sac import ActorCriticConfig
from dexloop.config import AlgorithmConfig, RunConfig, config_to_json, left_out
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.replay import ReplayConfig
from dexloop.errors import DexloopError
from dexloop.networks.agent import Agent
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.storage import load_agent, save_agent
from dexloop.pipeline.learner import build_learner, unheeded
from dexloop.pipeline.prior import pretrain
from dexloop.rewards.classifier import SuccessClassifier
from dexloop.rewards.storage import save_classifier
from dexloop.runtime.learner import PaceConfig
from dexloop.runtime.metrics import read_metrics
from dexloop.runtime.run_directory import RunDirectory
from tests.data.samples import SMALL_ROBOT, make_episode
from tests.digests import digest

CONFIG = RunConfig(
    encoder=EncoderConfig(keypoints=4, width=8),
    representation=RepresentationConfig(updates=2, batch=8, shift=2),
    cloning=CloningConfig(updates=3, batch=16),
    algorithm=AlgorithmConfig(
        replay=ReplayConfig(capacity=500),
        learner=ActorCriticConfig(batch=16, members=2, width=16, warmup_updates=4),
        pace=PaceConfig(updates_per_step=0.5, publish_every=4, log_every=4),
    ),
)


def made(root: Path, config: RunConfig = CONFIG) -> RunDirectory:
    """A run with demonstrations, clone, rollouts, a classifier that knows nothing, and online episodes."""
    run = RunDirectory(root)
    run.create(config_to_json(config))
    for folder, first, count in ((run.demos, 0, 3), (run.rollouts, 10, 2), (run.episodes, 20, 3)):
        with EpisodeDataset.create(folder, SMALL_ROBOT) as dataset:
            for seed in range(first, first + count):
                dataset.append(make_episode(SMALL_ROBOT, seed, success=seed % 2 == 0 or folder == run.demos))
    demonstrations = EpisodeDataset.open(run.demos)
    agent, architecture = pretrain(config, SMALL_ROBOT, [demonstrations.episode(i) for i in demonstrations.episodes])
    save_agent(run.prior, agent, architecture)
    torch.manual_seed(0)
    save_classifier(run.classifier, classifier_of(run), threshold=0.999)
    return run


def classifier_of(run: RunDirectory) -> SuccessClassifier:
    """One that knows nothing yet."""
    encoder = load_agent(run.prior).agent.latent.encoder
    assert encoder is not None
    return SuccessClassifier(encoder, 2)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("given") / "run").root


@pytest.fixture
def run(given: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(given, tmp_path / "run")))


def train(run: RunDirectory, config: RunConfig = CONFIG) -> str:
    """All updates that are allowed, as a new process would make them; the digest of the policy that came out."""
    loop = build_learner(config, run)
    loop.turn()
    loop.publish()
    loop.checkpoint()
    return digest(run.policy)


def send(run: RunDirectory, seed: int) -> None:
    with EpisodeDataset.open(run.episodes) as dataset:
        dataset.append(make_episode(SMALL_ROBOT, seed))


def spoil_videos(run: RunDirectory) -> None:
    """Change what is in the videos so that looking at an image is an error; the files still look whole."""
    for video in run.root.rglob("*.mp4"):
        whole = bytearray(video.read_bytes())
        middle = whole.index(b"mdat") + 40
        whole[middle : middle + 8] = b"spoiled!"
        video.write_bytes(whole)


def test_a_resume_looks_at_no_image_that_it_has_seen(run: RunDirectory) -> None:
    train(run)
    spoil_videos(run)
    send(run, 30)
    train(run)
    assert len(list(run.features.rglob("episodes/*.npz"))) == 4
    shutil.rmtree(run.features)
    with pytest.raises(DexloopError, match=r"\.mp4"):
        build_learner(CONFIG, run)


@pytest.mark.parametrize("damage", ["gone", "cut", "old"])
def test_what_is_kept_changes_no_number(run: RunDirectory, tmp_path: Path, damage: str) -> None:
    train(run)
    twin = RunDirectory(Path(shutil.copytree(run.root, tmp_path / "twin")))
    if damage == "gone":
        shutil.rmtree(twin.features)
    for index, file in enumerate(sorted(twin.features.rglob("*.npz"))):
        if damage == "cut":
            file.write_bytes(file.read_bytes()[: index * 40])
        else:
            shutil.copy(sorted(twin.features.rglob("*.npz"))[index - 1], file)
    for one in (run, twin):
        send(one, 30)
    assert train(run) == train(twin)
    losses = [
        [r["critic_loss"] for r in read_metrics(one.metrics.path) if r["kind"] == "update"] for one in (run, twin)
    ]
    assert losses[0] == losses[1] and len(losses[0]) > 3
    assert sorted(p.relative_to(run.root) for p in run.features.rglob("*")) == sorted(
        p.relative_to(twin.root) for p in twin.features.rglob("*")
    )


def test_what_another_encoder_or_classifier_made_is_removed(run: RunDirectory) -> None:
    train(run)
    before = {p.name for p in run.features.iterdir()}
    stored = load_agent(run.prior)
    stored.agent.latent.mean.add_(0.1)
    save_agent(run.prior, stored.agent, stored.architecture)
    save_classifier(run.classifier, classifier_of(run), threshold=0.9)
    shutil.rmtree(run.checkpoints)
    train(run)
    after = {p.name for p in run.features.iterdir()}
    assert len(before) == len(after) == 2 and not before & after


def test_nothing_is_kept_where_it_costs_nothing(tmp_path: Path) -> None:
    """Judged by the environment, only latents are worth keeping."""
    config = replace(CONFIG, reward="simulation")
    run = made(tmp_path / "run", config)
    train(run, config)
    assert len(list(run.features.iterdir())) == 1


def test_the_policy_says_how_many_steps_the_learner_has(run: RunDirectory) -> None:
    loop = build_learner(CONFIG, run)
    loop.publish()
    before = load_agent(run.policy).facts["steps"]
    assert before == 2 * 8 + 3 * 8, "rollouts and episodes"
    send(run, 30)
    loop.receive()
    loop.publish()
    assert load_agent(run.policy).facts["steps"] == before + 8


def with_velocity(run: RunDirectory, velocity: bool) -> None:
    """The demonstrations as of a robot whose first action is a velocity, or not."""
    meta = run.demos / "meta/dexloop.json"
    content = json.loads(meta.read_text())
    content["robot"]["action"]["groups"] = [
        {"name": "arm", "start": 0, "stop": 1, "velocity": velocity},
        {"name": "hand", "start": 1, "stop": 2, "velocity": False},
    ]
    meta.write_text(json.dumps(content))


@pytest.mark.parametrize(("velocity", "wanted"), [(True, (1.5, 1.0)), (False, ())])
def test_only_velocities_are_offered_faster(run: RunDirectory, velocity: bool, wanted: tuple[float, ...]) -> None:
    with_velocity(run, velocity)
    loop = build_learner(replace(CONFIG, algorithm=replace(CONFIG.algorithm, acts="best_proposal", speedup=1.5)), run)
    loop.turn()
    loop.publish()
    architecture = load_agent(run.policy).architecture
    assert architecture.chooser is not None
    assert architecture.speedup == wanted and architecture.paces == ()


@pytest.mark.parametrize(("velocity", "wanted"), [(True, ((1.0, 1.0), (2.0, 1.0))), (False, ((1.0, 1.0),))])
def test_critics_choose_the_pace_of_what_is_a_velocity(
    run: RunDirectory, velocity: bool, wanted: tuple[tuple[float, ...], ...]
) -> None:
    with_velocity(run, velocity)
    algorithm = replace(CONFIG.algorithm, acts="best_pace", paces=(1.0, 2.0))
    loop = build_learner(replace(CONFIG, algorithm=algorithm), run)
    loop.turn()
    loop.publish()
    architecture = load_agent(run.policy).architecture
    assert architecture.chooser is not None
    assert architecture.paces == wanted and architecture.speedup == ()


@pytest.mark.parametrize(("take_over", "learns"), [("nobody", False), ("keyboard", True)])
def test_the_policy_learns_where_somebody_may_show_it_something(
    run: RunDirectory, take_over: str, learns: bool
) -> None:
    algorithm = replace(CONFIG.algorithm, acts="auto")
    loop = build_learner(replace(CONFIG, algorithm=algorithm, train=replace(CONFIG.train, take_over=take_over)), run)
    loop.turn()
    loop.publish()
    published, clone = load_agent(run.policy), load_agent(run.prior).agent.head.state_dict()
    assert bool(published.architecture.paces) is not learns
    head = published.agent.head.state_dict()
    assert any(not torch.equal(value, clone[name]) for name, value in head.items()) is learns


def test_a_policy_whose_noise_is_learned_can_be_read_beside_its_clone(tmp_path: Path) -> None:
    learner = replace(CONFIG.algorithm.learner, learn_temperature=True, temperature=0.01)
    config = replace(CONFIG, algorithm=replace(CONFIG.algorithm, acts="best_proposal", learner=learner))
    run = made(tmp_path / "noisy", config)
    loop = build_learner(config, run)
    loop.turn()
    loop.publish()
    published = load_agent(run.policy)
    assert published.architecture.learn_deviation and published.agent.chooser is not None


def test_critics_choose_among_the_heads_of_the_clone_that_was_taught(run: RunDirectory) -> None:
    stored = load_agent(run.prior)
    architecture = replace(stored.architecture, members=2 * stored.architecture.members)
    torch.manual_seed(1)
    taught = Agent(stored.agent.latent, architecture.head(stored.agent.latent.size))
    save_agent(run.distilled, taught, architecture)
    loop = build_learner(replace(CONFIG, algorithm=replace(CONFIG.algorithm, acts="best_pace")), run)
    loop.turn()
    loop.publish()
    agent = load_agent(run.policy).agent
    assert agent.chooser is not None and len(agent.head.heads) == architecture.members
    wanted = taught.head.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in agent.head.state_dict().items())


def test_the_steps_are_those_up_to_where_the_classifier_sees_success(run: RunDirectory) -> None:
    """Of rollouts; online episodes were ended by it when they ran."""
    save_classifier(run.classifier, classifier_of(run), threshold=0.0)
    config = replace(CONFIG, classifier=replace(CONFIG.classifier, window_seconds=0.24))
    for _ in range(2):
        build_learner(config, run).publish()
        assert load_agent(run.policy).facts["steps"] == 2 * 2 + 3 * 8, "two of three frames of success, not eight steps"


def test_a_replay_in_a_file_gives_the_same_policy_and_leaves_nothing(run: RunDirectory, tmp_path: Path) -> None:
    twin = RunDirectory(Path(shutil.copytree(run.root, tmp_path / "twin")))
    algorithm = replace(CONFIG.algorithm, replay=replace(CONFIG.algorithm.replay, memory=0))
    config = replace(CONFIG, algorithm=algorithm)
    twin.update_config(config_to_json(config))
    assert train(run) == train(twin, config)
    names = [sorted(p.name for p in one.root.iterdir()) for one in (run, twin)]
    assert names[0] == names[1]


def test_crops_reach_the_learner_alone_and_are_reproducible(tmp_path: Path) -> None:
    config = replace(CONFIG, representation=replace(CONFIG.representation, crops=2))
    one, two = made(tmp_path / "one", config), made(tmp_path / "two", config)
    assert digest(one.prior) == digest(two.prior)
    plain = made(tmp_path / "plain")
    assert digest(one.prior) == digest(plain.prior), "the clone sees pictures as they are"
    policy = train(one, config)
    assert policy == train(two, config)
    assert policy != train(plain)
    shutil.rmtree(two.features)
    for run in (one, two):
        send(run, 30)
    assert train(one, config) == train(two, config)


@pytest.mark.parametrize(
    ("acts", "ignored"),
    [
        (
            "best_pace",
            "speedup regulariser.alpha regulariser.objective learner.actor-learning-rate learner.actor-value "
            "learner.extraction learner.imitates learner.error learner.beta learner.climb learner.input-noise "
            "learner.temperature learner.learn-temperature learner.target-entropy",
        ),
        ("best_proposal", "paces caution"),
        ("mean", "paces caution speedup"),
    ],
)
def test_what_only_other_ways_to_act_heed_is_known(tmp_path: Path, acts: str, ignored: str) -> None:
    (tmp_path / "empty.json").write_text("{}")
    config = replace(CONFIG, algorithm=replace(CONFIG.algorithm, acts=acts))
    flags = left_out(tmp_path / "empty.json", config)
    assert "--algorithm.learner.batch" in flags
    assert unheeded(config, flags) == {f"--algorithm.{name}" for name in ignored.split()}
