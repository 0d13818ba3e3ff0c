"""The whole configuration of a run, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from dexloop.algorithms.act import ActConfig
from dexloop.algorithms.bc import CloningConfig
from dexloop.algorithms.iborl import RegulariserConfig
from dexloop.algorithms.representation import RepresentationConfig
from dexloop.algorithms.sac import ActorCriticConfig
from dexloop.data.replay import ReplayConfig
from dexloop.errors import DexloopError
from dexloop.flags import DECIDED_BY_RUN
from dexloop.networks.encoders import EncoderConfig
from dexloop.operators.scripted import HUMAN, Imperfection
from dexloop.rewards.config import ClassifierConfig
from dexloop.robot.config import ClientSecurity, GymConfig
from dexloop.runtime.learner import PaceConfig
from dexloop.seeds import Purpose, episode_seed
from dexloop.sim.config import SimConfig

# Critics have seen nothing that is faster than this by far.
_FASTEST = 3.0


@dataclass(frozen=True, slots=True)
class RecordConfig:
    """Demonstrations, and the rollouts that come before online learning.

    episodes: demonstrations to record. tail_seconds: how long to go on after success [s]. rollouts: attempts from which
    the reward classifier and the critics learn first. rollouts_by: who makes them: the clone, or a chunking policy
    (ACT) of the same demonstrations, whose successful rollouts are cloned as well by heads that online learning begins
    with besides. rollout_noise: standard deviation, before the tanh, of the clone's exploration in every second
    rollout, every third beside ACT's, 0 for the usual one: a classifier that has never seen the object tumbled takes
    that for success. imperfection: how the scripted operator falls short of a perfect one, as people do.
    """

    episodes: int = 40
    tail_seconds: float = 1.0
    rollouts: int = 45
    rollouts_by: Literal["clone", "act"] = "act"
    rollout_noise: float = 0.3
    imperfection: Imperfection = HUMAN

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if self.episodes < 1:
            raise DexloopError(f"--record.episodes must be at least 1, got {self.episodes}")
        if self.rollouts < 0:
            raise DexloopError(f"--record.rollouts must not be negative, got {self.rollouts}")
        if not 0 <= self.rollout_noise < float("inf"):
            raise DexloopError(f"--record.rollout-noise must be finite and not negative, got {self.rollout_noise}")


@dataclass(frozen=True, slots=True)
class AlgorithmConfig:
    """An online learner put together from parts.

    pretrained: start from the clone. regulariser: hold the policy to the demonstrations, None not to. exploration:
    standard deviation of the action noise, before the tanh. copy_successes: whether online episodes that succeeded
    count as demonstrations as well. acts: mean, with the policy's mean action; best_proposal, with the proposal that
    critics value most among those of policy and clone; best_pace, with a policy that stays the clone, of whose heads'
    proposals critics choose one and how fast it is done (``networks.chooser``); auto, best_pace unless somebody may
    take over, since what a person does a policy has to learn. paces: factors of actions that are velocities, the usual
    one first. caution: with best_pace, standard deviations over critics by which a choice must promise more than the
    usual action. speedup: exploring with best_proposal, critics may also choose proposals so many times as fast, of
    actions that are velocities; 1 for none.
    """

    name: str = "iborl"
    pretrained: bool = True
    exploration: float = 0.1
    copy_successes: bool = True
    acts: Literal["auto", "mean", "best_proposal", "best_pace"] = "mean"
    speedup: float = 1.0
    paces: tuple[float, ...] = (1.0, 1.5)
    caution: float = 1.0
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    learner: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    regulariser: RegulariserConfig | None = field(default_factory=RegulariserConfig)
    pace: PaceConfig = field(default_factory=PaceConfig)

    def __post_init__(self) -> None:
        """Raise DexloopError for values that do not go together."""
        if self.acts != "mean" and not self.pretrained:
            raise DexloopError(
                f"--algorithm.acts {self.acts} needs a clone, and {self.name} begins without: "
                "give --algorithm.acts mean"
            )
        if not 1.0 <= self.speedup <= _FASTEST:
            raise DexloopError(f"--algorithm.speedup must lie in [1, {_FASTEST:g}], got {self.speedup}")
        if not self.paces or not all(0 < pace <= _FASTEST for pace in self.paces):
            raise DexloopError(f"--algorithm.paces must be numbers in (0, {_FASTEST:g}], got {self.paces}")
        if not 0 <= self.caution < float("inf"):
            raise DexloopError(f"--algorithm.caution must be finite and not negative, got {self.caution}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The online phase.

    robot_minutes: its budget, rollouts and resets counted [min]. runtime: actor and learner as two processes, or
    one after the other in one (deterministic). take_over: who may take over from the policy: keyboard, scripted,
    module:function, a policy file, or nobody. take_over_after: share of the deadline for which a program (scripted,
    a policy) lets the policy try.
    """

    robot_minutes: float = 20.0
    runtime: Literal["processes", "synchronous"] = "processes"
    take_over: str = "nobody"
    take_over_after: float = 0.5

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if not self.robot_minutes >= 0:
            raise DexloopError(f"--train.robot-minutes must not be negative, got {self.robot_minutes}")
        if not 0 <= self.take_over_after <= 1:
            raise DexloopError(f"--train.take-over-after must lie in [0, 1], got {self.take_over_after}")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides what a run does; written to ``config.json`` of its directory.

    observation: what policies see beside proprioception, camera images or the simulation's state.
    reward: who says so when the task is done while learning: the classifier, the simulation, or a person (the
    operator's verdicts).
    robot: sim, gym:ID, or grpc://HOST:PORT for a controller. operator: who demonstrates: scripted, keyboard,
    module:function, or a policy file.
    seed: of the whole run, in [0, 1000). trials: episodes that each policy is evaluated on.
    """

    task: str = "cup"
    robot: str = "sim"
    operator: str = "scripted"
    seed: int = 0
    observation: Literal["images", "privileged"] = "images"
    reward: Literal["classifier", "simulation", "person"] = "classifier"
    trials: int = 40
    sim: SimConfig = field(default_factory=SimConfig)
    gym: GymConfig = field(default_factory=GymConfig)
    grpc: ClientSecurity = field(default_factory=ClientSecurity)
    record: RecordConfig = field(default_factory=RecordConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    representation: RepresentationConfig = field(default_factory=RepresentationConfig)
    cloning: CloningConfig = field(default_factory=CloningConfig)
    act: ActConfig = field(default_factory=ActConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if self.trials < 1:
            raise DexloopError(f"--trials must be at least 1, got {self.trials}")
        try:
            episode_seed(Purpose.TEST, self.seed, 0)
        except ValueError as error:
            raise DexloopError(f"--{error}") from None


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_LEFT_OUT: Any = {name: override(omit=True) for name in DECIDED_BY_RUN}
_CONVERTER.register_unstructure_hook(SimConfig, make_dict_unstructure_fn(SimConfig, _CONVERTER, **_LEFT_OUT))


def config_to_json(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    return _CONVERTER.unstructure(config)


def config_from_json(values: Any, source: Path) -> RunConfig:
    """Undo ``config_to_json``; raises DexloopError naming ``source`` and the field that does not fit."""
    try:
        return _CONVERTER.structure(values, RunConfig)
    except Exception as error:
        details = "; ".join(cattrs.transform_error(error))
        raise DexloopError(f"{source}: not a configuration of this version of dexloop: {details}") from None


def differing(first: RunConfig, second: RunConfig) -> set[str]:
    """The flags that stand for what two configurations do not have in common."""
    one, other = _flat(config_to_json(first)), _flat(config_to_json(second))
    shared = {flag for flag in one.keys() & other.keys() if one[flag] == other[flag]}
    return (one.keys() | other.keys()) - shared


def _flat(values: Mapping[str, Any], prefix: str = "--") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flag = prefix + name.replace("_", "-")
        flat |= _flat(value, f"{flag}.") if isinstance(value, Mapping) else {flag: value}
    return flat


def read_config(path: Path) -> RunConfig:
    """Read ``config.json``, with or without the run facts around it; what it leaves out has its default."""
    return config_from_json(_read_values(path), path)


def left_out(path: Path, config: RunConfig) -> set[str]:
    """The flags of ``config`` that the file it was read from does not give."""
    return _flat(config_to_json(config)).keys() - _flat(_read_values(path)).keys()


def _read_values(path: Path) -> Any:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise DexloopError(f"{path}: no such configuration") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DexloopError(f"{path} is not JSON: {error}") from None
    return values.get("config", values) if isinstance(values, dict) else values
