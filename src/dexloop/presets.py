"""The named configurations: frozen values, made from one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from dexloop.algorithms.act import ActConfig
from dexloop.algorithms.bc import CloningConfig
from dexloop.algorithms.iborl import RegulariserConfig
from dexloop.algorithms.representation import RepresentationConfig
from dexloop.algorithms.sac import ActorCriticConfig
from dexloop.config import AlgorithmConfig, RecordConfig, RunConfig, TrainConfig
from dexloop.data.replay import ReplayConfig
from dexloop.rewards.config import ClassifierConfig
from dexloop.runtime.learner import PaceConfig

IBORL = AlgorithmConfig(
    exploration=0.05,
    acts="auto",
    speedup=1.5,
    # The price of a step: ten less are worth 5 % of success. At 0.985, which makes it 14 %, policies hurry and fail.
    replay=ReplayConfig(discount=0.995),
    learner=ActorCriticConfig(
        members=5,
        extraction="weighted",
        imitates="successes",
        error="absolute",
        beta=0.03,
        climb=1.0,
        warmup_updates=5_000,
        close_up=10,
        # Caution goes by how far critics disagree; with targets in common they are right and wrong together.
        targets="independent",
    ),
    regulariser=RegulariserConfig(alpha=1.0),
    pace=PaceConfig(updates_per_step=2.0),
)

# As the paper writes it, with the settings of RLPD that it builds on where it gives none.
IBORL_PAPER = AlgorithmConfig(
    name="iborl_paper",
    replay=ReplayConfig(n_step=1, deadline_is_terminal=False),
    learner=ActorCriticConfig(
        actor_value="mean",
        warmup_updates=0,
        value_range=None,
        temperature=1e-2,
        learn_temperature=True,
    ),
    pace=PaceConfig(updates_per_step=2.0),
    regulariser=RegulariserConfig(alpha=1.0),
)

ALGORITHMS: Mapping[str, AlgorithmConfig] = MappingProxyType(
    {
        "iborl": IBORL,
        # Whose policy learns in any case, and proposes beside the clone. It climbs what critics overrate, so that their
        # targets are the least of two.
        "iborl_policy": replace(
            IBORL, name="iborl_policy", acts="best_proposal", learner=replace(IBORL.learner, targets="shared")
        ),
        "iborl_paper": IBORL_PAPER,
        "iborl_ablated": replace(IBORL_PAPER, name="iborl_ablated", regulariser=None),
        "rlpd": replace(IBORL_PAPER, name="rlpd", pretrained=False, exploration=0.5, regulariser=None),
    }
)

DEMO = RunConfig(algorithm=IBORL)

PRESETS: Mapping[str, RunConfig] = MappingProxyType(
    {
        "demo": DEMO,
        "full": replace(DEMO, trials=100, train=TrainConfig(robot_minutes=30.0)),
        "smoke": replace(
            DEMO,
            trials=2,
            record=RecordConfig(episodes=4, rollouts=3),
            representation=RepresentationConfig(updates=20),
            cloning=CloningConfig(updates=50),
            act=ActConfig(updates=20),
            classifier=ClassifierConfig(updates=20, crops=2),
            algorithm=replace(
                IBORL,
                replay=replace(IBORL.replay, capacity=5_000),
                learner=ActorCriticConfig(warmup_updates=20, members=3, batch=64),
                pace=PaceConfig(updates_per_step=0.2, publish_every=20, log_every=10),
            ),
            train=TrainConfig(robot_minutes=1.2),
        ),
    }
)
