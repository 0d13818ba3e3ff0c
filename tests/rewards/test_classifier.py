"""The success classifier on pictures whose success is plain to see, and the reward made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from dexloop.errors import DexloopError
from dexloop.networks.encoders import EncoderConfig, KeypointEncoder, random_shift_alike
from dexloop.networks.latent import stack_images
from dexloop.rewards.cameras import ClassifierReward
from dexloop.rewards.classifier import SuccessClassifier
from dexloop.rewards.config import ClassifierConfig
from dexloop.rewards.debounce import Debounce
from dexloop.rewards.labelled import FrameLabel, LabelledEpisode
from dexloop.rewards.measures import ClassifierReport
from dexloop.rewards.storage import load_classifier, save_classifier
from dexloop.rewards.training import train_classifier
from dexloop.types import Observation, Step

U, F, S = FrameLabel.UNSURE, FrameLabel.FAILURE, FrameLabel.SUCCESS
# In these pictures everything jumps from frame to frame, so that motion tells nothing.
CONFIG = ClassifierConfig(updates=120, batch=32, learning_rate=3e-3, crops=6, shift=1, motion_seconds=(), typical=1.0)
HZ = WINDOW = 4


def encoder(sharpness: float = 1.0) -> KeypointEncoder:
    """Of no task: what random convolutions see tells these pictures apart. The sharper, the more its points move."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = KeypointEncoder(("top",), EncoderConfig(keypoints=8, width=16))
    with torch.no_grad():
        made.towers[0].get_submodule("6").get_parameter("weight").mul_(sharpness)
    return made


def picture(
    rng: np.random.Generator, success: bool, *, color: tuple[int, int, int] = (230, 60, 50), size: int = 6
) -> Observation:
    """A noisy table with a cup at a random column: high up is success."""
    image = rng.integers(60, 120, (24, 24, 3)).astype(np.uint8)
    column, row = int(rng.integers(2, 16)), 3 if success else 15
    image[row : row + size, column : column + size] = color
    return Observation(proprio=np.zeros(1, np.float32), images={"top": image})


def labelled(seed: int, labels: Sequence[FrameLabel]) -> LabelledEpisode:
    rng = np.random.default_rng(seed)
    seen = tuple(picture(rng, bool(rng.integers(2)) if label == U else label == S) for label in labels)
    return LabelledEpisode(seen, tuple(labels), S in labels)


def episodes(successes: int = 8, failures: int = 8) -> list[LabelledEpisode]:
    made = [labelled(i, [F] * 6 + [U] * 2 + [S] * 6) for i in range(successes)]
    return made + [labelled(100 + i, [F] * 14) for i in range(failures)]


@cache
def trained() -> tuple[SuccessClassifier, ClassifierReport]:
    torch.manual_seed(0)
    return train_classifier(episodes(), encoder(), CONFIG, control_hz=HZ, seed=0)


def test_it_separates_pictures_it_has_not_seen() -> None:
    classifier, report = trained()
    fresh = [labelled(1000 + i, [F] * 5 + [S] * 5) for i in range(10)]
    scores = np.concatenate([classifier.scores(e.observations) for e in fresh])
    truth = np.concatenate([[label == S for label in e.labels] for e in fresh])
    assert ((scores > report.threshold) == truth).mean() > 0.95
    assert scores.shape == (100,) and scores.min() >= 0 and scores.max() <= 1


def test_the_report_is_of_every_episode_as_heads_that_never_saw_it_judge_it() -> None:
    _, report = trained()
    assert (report.episodes, report.failed_episodes) == (16, 8)
    assert (report.positives, report.negatives) == (8 * 6, 8 * 6 + 8 * 14), "unsure frames count for nothing"
    assert report.precision > 0.95 and report.recall > 0.8 and report.accuracy > 0.9
    assert report.false_positives_per_failed_episode == 0 and report.missed_successes == 0
    assert report.threshold == CONFIG.threshold


def test_a_higher_threshold_passes_fewer_frames() -> None:
    torch.manual_seed(0)
    strict, report = train_classifier(episodes(), encoder(), replace(CONFIG, threshold=0.99), control_hz=HZ, seed=0)
    assert report.threshold == 0.99 and report.recall < trained()[1].recall
    assert all(torch.equal(a, b) for a, b in zip(strict.parameters(), trained()[0].parameters(), strict=True)), (
        "it is a matter of judging, not of learning"
    )


def test_an_episode_that_does_not_say_when_success_began_is_neither_early_nor_missed() -> None:
    """Judged as wholes, successes end before the debounce can see them; their frames count all the same."""
    cut = [replace(labelled(i, [U] * 5 + [S] * 2), timed=False) for i in range(8)]
    given = [*cut, *(labelled(100 + i, [F] * 14) for i in range(8))]
    torch.manual_seed(0)
    _, report = train_classifier(given, encoder(), CONFIG, control_hz=HZ, seed=0)
    assert (report.episodes, report.positives, report.missed_successes, report.early_successes) == (16, 16, 0, 0)
    torch.manual_seed(0)
    _, timed = train_classifier([replace(e, timed=True) for e in given], encoder(), CONFIG, control_hz=HZ, seed=0)
    assert timed.missed_successes + timed.early_successes > 0


def test_a_part_that_is_left_out_teaches_its_head_nothing() -> None:
    """Wrong labels in one part must spoil what is said of it, and every head but the one that it is kept from."""
    given = episodes()
    order = np.random.default_rng(0).permutation(len(given))
    ranked = [i for kind in (True, False) for i in order if given[i].success == kind]
    left_out = set(ranked[0 :: CONFIG.folds])
    swapped = {S: F, F: S, U: U}
    spoiled = [
        replace(e, labels=tuple(swapped[x] for x in e.labels)) if i in left_out else e for i, e in enumerate(given)
    ]
    torch.manual_seed(0)
    classifier, report = train_classifier(spoiled, encoder(), CONFIG, control_hz=HZ, seed=0)
    reference, _ = trained()
    same = [
        all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
        for one, other in zip(classifier.heads, reference.heads, strict=True)
    ]
    assert same == [True] + [False] * (CONFIG.folds - 1)
    assert report.accuracy < 0.85


@pytest.mark.parametrize("unlike", [{"color": (230, 230, 60)}, {"size": 9}])
def test_what_looks_like_no_success_that_was_shown_is_none(unlike: dict[str, Any]) -> None:
    """The networks were shown nothing that would tell it from success, and take it for one."""
    torch.manual_seed(0)
    wary, report = train_classifier(episodes(), encoder(), replace(CONFIG, typical=0.85), control_hz=HZ, seed=0)
    credulous = trained()[0]
    rng = np.random.default_rng(0)
    shown, others = [picture(rng, True) for _ in range(50)], [picture(rng, True, **unlike) for _ in range(50)]
    assert (credulous.scores(others) > 0.5).mean() > 0.9 and (wary.scores(others) == 0.0).mean() > 0.9
    assert 0.7 < (wary.scores(shown) > 0.5).mean() < 1.0
    assert 0.7 < report.recall < 0.85 and report.precision > 0.95, "of successes left out so many are unlike the others"


def test_without_another_success_nothing_is_called_unlike_it() -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, typical=0.85, updates=3)
    classifier, _ = train_classifier(episodes(1, 4), encoder(), config, control_hz=HZ, seed=0)
    assert classifier.typical.farthest == torch.inf


def test_heads_agree_on_their_mean() -> None:
    classifier, _ = trained()
    features = torch.randn(5, encoder().detection_size)
    logits = torch.stack([head(features).squeeze(-1) for head in classifier.heads])
    torch.testing.assert_close(classifier(features), logits.mean(0))


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"folds": 21}, {"crops": 0}])
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DexloopError, match=f"--classifier.{next(iter(wrong))}"):
        replace(CONFIG, **wrong)


def test_the_same_seed_gives_the_same_classifier() -> None:
    one, two, other = (_weights(seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _weights(seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    classifier, _ = train_classifier(episodes(4, 4), encoder(), replace(CONFIG, updates=3), control_hz=HZ, seed=seed)
    return list(classifier.state_dict().values())


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "successful"),
        ([labelled(1, [F] * 6), labelled(2, [F] * 6)], "successful"),
        ([labelled(1, [S] * 6), labelled(2, [S] * 6)], "unsuccessful"),
        ([labelled(1, [U] * 6)], "successful"),
    ],
    ids=["nothing", "no success", "no failure", "all unsure"],
)
def test_it_says_which_kind_of_frames_is_missing(given: list[LabelledEpisode], missing: str) -> None:
    with pytest.raises(DexloopError, match=f"needs {missing} frames"):
        train_classifier(given, encoder(), CONFIG, control_hz=HZ, seed=0)


def test_a_lone_episode_is_too_little_and_two_are_enough() -> None:
    one = labelled(1, [F] * 6 + [S] * 6)
    with pytest.raises(DexloopError, match="more than one labelled episode"):
        train_classifier([one], encoder(), CONFIG, control_hz=HZ, seed=0)
    _, report = train_classifier(
        [one, labelled(2, [F] * 6)], encoder(), replace(CONFIG, updates=2), control_hz=HZ, seed=0
    )
    assert (report.episodes, report.failed_episodes) == (2, 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"folds": 1}, "--classifier.folds must lie in"),
        ({"crops": 0}, "--classifier.crops must be at least 1"),
        ({"threshold": 1.0}, r"--classifier.threshold must lie in \(0, 1\), got 1"),
        ({"typical": 0.0}, r"--classifier.typical must lie in \(0, 1\], got 0"),
        ({"typical": float("nan")}, "--classifier.typical must lie in"),
        (
            {"motion_seconds": (0.2, 0.0)},
            r"--classifier.motion-seconds must be above 0 and at most 10 each, got \[0.2, 0",
        ),
        ({"motion_seconds": (float("nan"),)}, "--classifier.motion-seconds must be above 0"),
        ({"motion_seconds": (11.0,)}, "at most 10 each"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_flag(values: dict[str, Any], said: str) -> None:
    with pytest.raises(DexloopError, match=said):
        ClassifierConfig(**values)


def test_debounce_wants_most_of_the_last_answers() -> None:
    debounce = Debounce(5, 0.8)
    answers = [debounce(hit) for hit in (True, True, True, False, True, False, False, True)]
    assert answers == [False, False, False, False, True, False, False, False]
    debounce.reset()
    assert [debounce(True) for _ in range(5)] == [False, False, False, True, True]
    assert Debounce(1, 0.1)(True) and not Debounce(1, 0.1)(False)
    assert not Debounce(3, 0.0)(False), "at least one answer must be true"


def swinging(seed: int, rests: bool) -> LabelledEpisode:
    """Eight frames of a cup that goes to and fro, and eight in which it goes on or, as a success, is at rest."""
    rng = np.random.default_rng(seed)
    place, seen = int(rng.integers(32)), list[Observation]()
    for index in range(16):
        place += 0 if rests and index >= 8 else 4
        image = rng.integers(88, 92, (24, 24, 3)).astype(np.uint8)
        column = 1 + abs(place % 32 - 16)
        image[8:16, column : column + 6] = (230, 60, 50)
        seen.append(Observation(proprio=np.zeros(1, np.float32), images={"top": image}))
    labels = [F] * 8 + ([U] * 2 + [S] * 6 if rests else [F] * 8)
    return LabelledEpisode(tuple(seen), tuple(labels), rests)


def told_apart(motion: tuple[float, ...]) -> tuple[SuccessClassifier, ClassifierReport]:
    given = [swinging(i, rests=i % 2 == 0) for i in range(24)]
    torch.manual_seed(0)
    config = replace(CONFIG, updates=300, motion_seconds=motion)
    return train_classifier(given, encoder(500.0), config, control_hz=HZ, seed=0)


def test_rest_is_seen_in_how_pictures_change_and_in_no_picture() -> None:
    _, still = told_apart(())
    classifier, moving = told_apart((0.25, 0.5))
    assert classifier.lags == (1, 2)
    assert still.precision < 0.5 and still.accuracy < 0.85
    assert moving.precision > 0.75 and moving.accuracy > 0.9


def test_frame_by_frame_it_says_what_it_says_of_the_whole_episode() -> None:
    classifier, report = told_apart((0.25, 0.75))
    reward = ClassifierReward(classifier, report.threshold, window=1, hits=1.0)
    for seed in (50, 51):
        episode = swinging(seed, rests=True)
        reward.reset()
        steps = [Step(seen, np.zeros(1, np.float32), 0.0, False, False) for seen in episode.observations]
        scores = [reward.judge(step.observation, step).score for step in steps]
        np.testing.assert_allclose(scores, classifier.scores(episode.observations), rtol=1e-4, atol=1e-5)


def test_shifted_versions_of_an_episode_at_rest_show_no_motion() -> None:
    seen = swinging(0, rests=True).observations[-1]
    images = stack_images([seen] * 5, ("top",))
    classifier = SuccessClassifier(encoder(500.0), 2, (1, 2))
    size = classifier.encoder.detection_size
    for _ in range(5):
        inputs = classifier.inputs(classifier.features(random_shift_alike(images, 3)))
        assert inputs.shape == (5, 3 * size)
        torch.testing.assert_close(inputs[:, size:], torch.zeros(5, 2 * size), atol=1e-5, rtol=0)
    several = torch.cat([images, images.flip(-1)], 1)
    first = random_shift_alike(several, 3)
    assert first.shape == several.shape and any(
        not torch.equal(random_shift_alike(several, 3), first) for _ in range(5)
    )


def step(seed: int, success: bool) -> Step:
    seen = picture(np.random.default_rng(seed), success)
    return Step(seen, np.zeros(1, np.float32), 0.0, False, False)


def test_the_reward_ends_the_episode_once_success_has_been_seen_for_a_while() -> None:
    classifier, report = trained()
    reward = ClassifierReward(classifier, report.threshold, window=WINDOW, hits=0.75)
    first = step(0, False).observation
    for _ in range(2):
        reward.reset()
        judged = [reward.judge(first, step(i, i >= 3)) for i in range(6)]
        assert [j.success for j in judged] == [False] * 5 + [True]
        assert [(j.reward, j.terminated) for j in judged] == [(0.0, False)] * 5 + [(1.0, True)]
        assert max(j.score for j in judged[:3]) < report.threshold < min(j.score for j in judged[3:])


def test_it_sees_what_comes_after_the_step_and_not_before() -> None:
    classifier, report = trained()
    reward = ClassifierReward(classifier, report.threshold, window=1, hits=1.0)
    assert not reward.judge(step(1, True).observation, step(2, False)).success
    assert reward.judge(step(1, False).observation, step(2, True)).success


def test_a_stored_classifier_scores_the_same(tmp_path: Path) -> None:
    classifier, _ = trained()
    path = tmp_path / "reward" / "classifier.safetensors"
    save_classifier(path, classifier, 0.85)
    loaded, threshold = load_classifier(path)
    assert threshold == 0.85 and not loaded.training
    assert loaded.encoder.cameras == ("top",)
    assert loaded.lags == ()
    seen = episodes()[0].observations
    np.testing.assert_array_equal(loaded.scores(seen), classifier.scores(seen))


def refused(path: Path) -> str:
    with pytest.raises(DexloopError) as caught:
        load_classifier(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    assert "dexloop reward" in refused(path), "what to do must be said"
    save_classifier(path, SuccessClassifier(encoder(), 2, (2, 5)), 0.5)
    assert load_classifier(path)[0].lags == (2, 5)
    whole = path.read_bytes()
    for content in (
        b"",
        whole[:30],
        whole[:-1],
        whole.replace(b"keypoints", b"keyboards"),
        whole.replace(b'heads\\": 2', b'heads\\": 3'),
        whole.replace(b'heads\\": 2', b'heads\\": 0'),
        whole.replace(b'lags\\": [2, 5]', b'lags\\": [2, 0]'),
        whole.replace(b'keypoints\\": 8', b'keypoints\\": 9'),
        whole.replace(b"heads.0.4.bias", b"head.9.bias"),
        safetensors.torch.save({"weight": torch.zeros(2)}),
        safetensors.torch.save({"weight": torch.zeros(2)}, metadata={"format": "dexloop-classifier-3"}),
    ):
        assert content != whole
        path.write_bytes(content)
        refused(path)
