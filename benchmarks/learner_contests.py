"""What the learner does: sample, and update from states and from pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from lerobot_learner import Unavailable, lerobot_update
from naive import ListReplay, LoopedCritics, NaiveActorCritic
from timing import Comparison, Contest, Contestant, Scale
from vision import CHANNELS, STRIDE, FrozenEncoder, VisionLearner

from dexloop.algorithms.iborl import ImitationRegulariser
from dexloop.algorithms.sac import ActorCritic, ActorCriticConfig
from dexloop.config import RunConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.policies import GaussianPolicy, PolicyEnsemble
from dexloop.presets import IBORL

OBSERVATION_SIZE = 40
ACTION_SIZE = 12
_EPISODE = 100
_CAMERAS = 2
# What dexloop's own encoder says of two cameras, each with a nearer look, and 25 numbers of proprioception.
_LATENT_SIZE = 281


def state(scale: Scale) -> Contest:
    """Ten critics, four updates of them and one of the actor; with sampling, half of each batch demonstrations."""
    naive = Contestant("state/naive", _naive_learner(scale).update, scale.updates)
    return _contest("state", scale, members=10, critic_updates=4, others=(naive,))


def pair(scale: Scale) -> Contest:
    """The same with what LeRobot does by default: two critics, both in every target, one update of each network."""
    return _contest("pair", scale, members=2, critic_updates=1)


def iborl(scale: Scale) -> Contest:
    """What a run does by default: two updates of the critics and one of the actor, held to the demonstrations."""

    def learner(*, compiled: bool, precision: Literal["float32", "bfloat16"] = "float32") -> ActorCritic:
        config = replace(IBORL.learner, batch=scale.batch, warmup_updates=0, compiled=compiled, precision=precision)
        assert IBORL.regulariser is not None
        return ActorCritic(
            _heads(),
            _filled_replay(_LATENT_SIZE, min(scale.latents, 20_000)),
            config,
            latent_size=_LATENT_SIZE,
            action_size=ACTION_SIZE,
            regulariser=ImitationRegulariser(_heads(), IBORL.regulariser),
        )

    entered, skipped = _ours("iborl", scale, learner)
    rounded, none = _ours("iborl", scale, partial(learner, precision="bfloat16"), suffix="-bfloat16")
    entered += rounded
    comparisons = [Comparison(contestant.name, "iborl/dexloop") for contestant in entered[1:]]
    return Contest(tuple(entered), tuple(comparisons), skipped=skipped | none)


def _heads() -> PolicyEnsemble:
    made = [
        GaussianPolicy(_LATENT_SIZE, ACTION_SIZE, standard_deviation=IBORL.exploration)
        for _ in range(RunConfig().cloning.members)
    ]
    return PolicyEnsemble(made)


def _contest(
    name: str, scale: Scale, *, members: int, critic_updates: int, others: tuple[Contestant, ...] = ()
) -> Contest:
    """dexloop and LeRobot, each as it is and compiled, and ``others``."""

    def learner(*, compiled: bool) -> ActorCritic:
        config = ActorCriticConfig(
            batch=scale.batch,
            members=members,
            subset=2,
            critic_updates=critic_updates,
            warmup_updates=0,
            value_range=None,
            temperature=1.0,
            learn_temperature=True,
            compiled=compiled,
        )
        replay = _filled_replay(OBSERVATION_SIZE, min(scale.latents, 20_000))
        return ActorCritic(_policy(), replay, config, latent_size=OBSERVATION_SIZE, action_size=ACTION_SIZE)

    entered, skipped = _ours(name, scale, learner)
    entered += others
    for entry, compiled in ((f"{name}/lerobot", False), (f"{name}/lerobot-compiled", True)):
        try:
            update = lerobot_update(
                OBSERVATION_SIZE,
                ACTION_SIZE,
                batch=scale.batch,
                rows=min(scale.latents, 10_000),
                members=members,
                critic_updates=critic_updates,
                compiled=compiled,
            )
        except Unavailable as reason:
            skipped[entry] = str(reason)
            continue
        entered.append(Contestant(entry, update, scale.updates))
    there = {contestant.name for contestant in entered}
    wanted = [
        Comparison(f"{name}/dexloop", f"{name}/naive"),
        Comparison(f"{name}/dexloop-compiled", f"{name}/dexloop"),
        Comparison(f"{name}/dexloop", f"{name}/lerobot", at_least=1.9),
        Comparison(f"{name}/dexloop", f"{name}/lerobot-compiled", at_least=1.9),
        Comparison(f"{name}/dexloop-compiled", f"{name}/lerobot-compiled", at_least=1.9),
    ]
    return Contest(tuple(entered), tuple(c for c in wanted if {c.faster, c.slower} <= there), skipped=skipped)


def _ours(
    name: str, scale: Scale, learner: Callable[..., ActorCritic], suffix: str = ""
) -> tuple[list[Contestant], dict[str, str]]:
    """dexloop as it is and compiled, or why not."""
    entered = [Contestant(f"{name}/dexloop{suffix}", learner(compiled=False).update, scale.updates)]
    entry = f"{name}/dexloop{suffix}-compiled"
    if not scale.compiled:
        return entered, {entry: "compiling takes a minute, too long for --quick"}
    compiled = learner(compiled=True)
    if not compiled.compiled:
        return entered, {entry: "it cannot be compiled here"}
    return [*entered, Contestant(entry, compiled.update, scale.updates)], {}


def _policy() -> GaussianPolicy:
    return GaussianPolicy(OBSERVATION_SIZE, ACTION_SIZE, learn_deviation=True)


def _naive_learner(scale: Scale) -> NaiveActorCritic:
    halves = (ListReplay(), ListReplay())
    for half in halves:
        for _ in range(min(scale.latents, 10_000)):
            observation, following = torch.randn(2, OBSERVATION_SIZE)
            action = torch.rand(ACTION_SIZE) * 2 - 1
            half.transitions.append((observation, action, torch.zeros(()), following, torch.ones(())))
    critics = LoopedCritics(OBSERVATION_SIZE, ACTION_SIZE)
    return NaiveActorCritic(_policy(), critics, *halves, action_size=ACTION_SIZE, batch=scale.batch)


def _filled_replay(latent_size: int, rows: int) -> Replay:
    """A replay full of noise, every second episode a demonstration."""
    replay = Replay(latent_size, ACTION_SIZE, ReplayConfig(capacity=rows, n_step=1))
    for index in range(rows // (_EPISODE + 1)):
        replay.add(
            str(index),
            torch.randn(_EPISODE + 1, 1, latent_size),
            torch.rand(_EPISODE, ACTION_SIZE) * 2 - 1,
            torch.zeros(_EPISODE),
            terminated=False,
            demonstration=index % 2 == 0,
            online=index % 2 == 1,
        )
    return replay


def vision(scale: Scale) -> Contest:
    """One update of heads and critics from two cameras: maps made at every update, and maps kept."""
    contestants: list[Contestant] = []
    comparisons: list[Comparison] = []
    for size, aim in ((128, 15.0), (64, 5.0)):
        encoding, kept = f"vision/encode-{size}", f"vision/kept-{size}"
        contestants += [
            Contestant(encoding, _Encoding(size, scale).update, scale.encodings),
            Contestant(kept, _Kept(size, scale).update, scale.updates),
        ]
        comparisons.append(Comparison(kept, encoding, at_least=aim))
    return Contest(tuple(contestants), tuple(comparisons))


class _Encoding:
    """Encodes the sampled images, now and next, at every update; no augmentation, which favours it."""

    def __init__(self, size: int, scale: Scale) -> None:
        self.batch = scale.batch
        self.images = torch.randint(256, (scale.vision_rows, _CAMERAS, 3, size, size), dtype=torch.uint8)
        self.encoder = FrozenEncoder().in_fastest_form(self.images[:4])
        self.learner = _vision_learner(size, scale)

    def update(self) -> None:
        rows = torch.randint(len(self.images) - 1, (self.batch,))
        maps = self.encoder(self.images.index_select(0, rows))
        next_maps = self.encoder(self.images.index_select(0, rows + 1))
        self.learner.update(maps, next_maps)


class _Kept:
    """Samples maps that were made when the images arrived, kept in half precision."""

    def __init__(self, size: int, scale: Scale) -> None:
        self.batch = scale.batch
        side = size // STRIDE
        self.maps = torch.rand(scale.vision_rows, _CAMERAS, CHANNELS[-1], side, side).half()
        self.learner = _vision_learner(size, scale)

    def update(self) -> None:
        rows = torch.randint(len(self.maps) - 1, (self.batch,))
        maps = self.maps.index_select(0, rows).float()
        next_maps = self.maps.index_select(0, rows + 1).float()
        self.learner.update(maps, next_maps)


def _vision_learner(size: int, scale: Scale) -> VisionLearner:
    return VisionLearner(scale.batch, size, state_size=OBSERVATION_SIZE, action_size=ACTION_SIZE)


def replay(scale: Scale) -> Contest:
    """256 transitions with two 128 by 128 pictures now and next (50 MB), and a sample of the latent replay."""
    rng = np.random.default_rng(0)
    store = np.empty((scale.images, _CAMERAS, 3, 128, 128), np.uint8)
    # Each page must be written, or the kernel maps all of them to one page of zeros.
    store[:] = rng.integers(0, 256, store.shape[1:], np.uint8)
    kept = torch.from_numpy(store)
    batch = torch.empty((2 * scale.batch, *store.shape[1:]), dtype=torch.uint8)
    copied = np.empty(batch.shape, np.uint8)

    def index_select() -> None:
        rows = torch.randint(scale.images - 1, (scale.batch,))
        torch.index_select(kept, 0, torch.cat([rows, rows + 1]), out=batch)

    def fancy_indexing() -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, scale.images - 1, scale.batch)
        return store[rows], store[rows + 1]

    def memcpy() -> None:
        # Each call copies other rows, as the others do, so that the cache helps nobody.
        start = int(rng.integers(0, scale.images - len(copied) + 1))
        np.copyto(copied, store[start : start + len(copied)])

    latents = _filled_replay(_LATENT_SIZE, scale.latents)
    return Contest(
        (
            Contestant("replay/index-select", index_select, scale.samples),
            Contestant("replay/numpy-indexing", fancy_indexing, scale.samples),
            Contestant("replay/memcpy", memcpy, scale.samples),
            Contestant("replay/latents", lambda: latents.sample(scale.batch), scale.samples),
        ),
        comparisons=(
            Comparison("replay/index-select", "replay/memcpy", at_least=0.8),
            Comparison("replay/index-select", "replay/numpy-indexing"),
        ),
    )
