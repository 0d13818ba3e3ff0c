"""The command line: whatever is wrong is said in one line, and Ctrl-C loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dexloop.cli import main
from dexloop.config import read_config
from dexloop.data.dataset import EpisodeDataset
from dexloop.runtime.metrics import read_metrics
from dexloop.sim.tasks.base import task_names
from tests import tiny
from tests.data.samples import HAND_ROBOT, make_episode

Failing = Callable[..., str]


def test_an_unknown_task_is_named_with_what_was_meant(failing: Failing, tmp_path: Path) -> None:
    line = failing("run", "cpu", "--out", tmp_path / "run")
    assert "TASK cpu" in line and "did you mean cup?" in line
    assert f"there are: {', '.join(task_names())}" in failing("record", "juggling", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_preset_is_named_with_what_was_meant(failing: Failing, tmp_path: Path) -> None:
    line = failing("run", "cup", "--preset", "smok", "--out", tmp_path / "run")
    assert "--preset smok" in line and "did you mean smoke?" in line
    assert "demo" in failing("run", "cup", "--preset=nothing-like-it", "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "cup", "--no-such-flag", "1"],
        ["run", "cup", "--seed", "many"],
        ["run", "cup", "--observation", "smell"],
        ["no-such-verb"],
        ["run"],
        [],
    ],
)
def test_what_the_parser_refuses_ends_with_its_own_words(
    arguments: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code not in (0, None)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err and (out + err).strip()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--seed", "1000", "seed"),
        ("--seed", "-1", "seed"),
        ("--robot", "toaster", "--robot toaster"),
        ("--robot", "gym:NoSuchThing-v0", "NoSuchThing"),
        ("--trials", "0", "--trials"),
        ("--record.episodes", "0", "--record.episodes"),
        ("--train.robot-minutes", "-1", "--train.robot-minutes"),
        ("--train.take-over-after", "2", "--train.take-over-after"),
        ("--sim.control-hz", "0", "--sim.control-hz"),
        ("--config", "no/such/config.json", "no/such/config.json"),
        ("--algorithm.replay.capacity", "0", "capacity"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_before_anything_is_made(
    failing: Failing, tmp_path: Path, flag: str, value: str, says: str
) -> None:
    flags = [f for f in tiny.FLAGS if not f.startswith(flag)]
    if flag == "--config":
        flags = [f for f in flags if not f.startswith("--preset")]
    line = failing("run", "cup", "--out", tmp_path / "run", *flags, f"{flag}={value}")
    assert says in line
    assert not (tmp_path / "run").exists()


def forget_clone(run: Path) -> None:
    """And what was learned from it."""
    for part in ("prior", "checkpoints"):
        shutil.rmtree(run / part)


@pytest.mark.parametrize("verb", ["pretrain", "reward", "train", "evaluate", "report", "replay"])
def test_every_verb_names_a_place_without_a_run(failing: Failing, tmp_path: Path, verb: str) -> None:
    line = failing(verb, tmp_path / "none")
    assert str(tmp_path / "none") in line


def test_a_report_needs_no_robot(tiny_run: Path) -> None:
    config = tiny_run / "config.json"
    config.write_text(config.read_text().replace('"robot": "sim"', '"robot": "grpc://127.0.0.1:1"'))
    (tiny_run / "report.html").unlink()
    assert main(["report", str(tiny_run)]) == 0
    assert (tiny_run / "report.html").is_file()


def test_a_clone_that_others_rest_on_is_not_made_anew(failing: Failing, tiny_run: Path) -> None:
    (tiny_run / "prior" / "policy.safetensors").unlink()
    assert "what was learned online rests on it" in failing("pretrain", tiny_run)
    assert not (tiny_run / "prior" / "policy.safetensors").exists()


def test_naming_the_runs_own_algorithm_changes_none_of_its_settings(tiny_run: Path) -> None:
    before = read_config(tiny_run / "config.json").algorithm
    assert main(["train", str(tiny_run), "--algorithm", "iborl", "--resume", "--robot-minutes", "0.1"]) == 0
    assert read_config(tiny_run / "config.json").algorithm == before


def test_a_policy_that_has_learned_goes_on_learning_when_nobody_takes_over_any_more(tiny_run: Path) -> None:
    for take_over, acts in (("nobody", "auto"), ("scripted", "auto"), ("nobody", "best_proposal")):
        assert main(["train", str(tiny_run), "--resume", "--robot-minutes=0.1", f"--take-over={take_over}"]) == 0
        assert read_config(tiny_run / "config.json").algorithm.acts == acts


def test_a_classifier_that_is_not_there_cannot_judge(failing: Failing, tiny_run: Path) -> None:
    line = failing("evaluate", tiny_run, "--robot", "sim", "--judge", "classifier")
    assert "--judge classifier: " in line and "--judge person" in line


def test_there_is_nothing_to_resume(failing: Failing, tmp_path: Path) -> None:
    line = failing("run", "cup", "--out", tmp_path / "none", "--resume")
    assert str(tmp_path / "none") in line and "dexloop run" in line
    assert not (tmp_path / "none").exists()


def test_a_taken_place_is_not_overwritten(failing: Failing, tiny_run: Path) -> None:
    before = (tiny_run / "config.json").read_bytes()
    line = failing("run", "cup", "--out", tiny_run, *tiny.FLAGS)
    assert str(tiny_run) in line and "--resume" in line and "--out" in line
    assert (tiny_run / "config.json").read_bytes() == before
    assert "--resume" in failing("train", tiny_run)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--operator=nobody"], "--operator nobody"),
        (["--operator=no_such_module:make"], "no_such_module"),
        (["--operator=none.safetensors"], "none.safetensors"),
        (["--operator=keyboard"], "needs a terminal"),
        (["--train.take-over=keybord"], "--train.take-over keybord"),
        (["--robot=gym:NoSuchThing-v0"], "NoSuchThing"),
    ],
)
@pytest.mark.parametrize("verb", ["record", "run"])
def test_what_cannot_begin_leaves_nothing_in_the_way(
    failing: Failing, tmp_path: Path, verb: str, flags: list[str], says: str
) -> None:
    for _ in range(2):
        assert says in failing(verb, "cup", "--out", tmp_path / "run", *tiny.FLAGS, *flags)
    assert not (tmp_path / "run").exists()


def test_a_file_where_a_directory_should_be_is_named(failing: Failing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        line = failing("record", "cup", "--out", out, *tiny.FLAGS)
        assert f"--out {out}" in line and f"{tmp_path / 'file'} is a file" in line
    assert str(tmp_path) in failing("run", "cup", "--config", tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


def test_settings_start_from_one_place(failing: Failing, tiny_run: Path) -> None:
    line = failing("run", "cup", "--config", tiny_run / "config.json", "--preset", "smoke")
    assert "--config" in line and "--preset" in line


def test_settings_that_a_resumed_run_would_not_heed_are_named(failing: Failing, tiny_run: Path) -> None:
    again = ["record", "cup", f"--out={tiny_run}", "--resume", *tiny.FLAGS, "--train.runtime=synchronous"]
    assert main(again) == 0, "the same command with --resume goes on"
    line = failing(*again, "--seed=4", "--algorithm.learner.batch=8")
    assert str(tiny_run) in line and "--algorithm.learner.batch, --seed would" in line


@pytest.mark.parametrize(
    ("flags", "named", "acts"),
    [
        (["--algorithm.regulariser.alpha=3"], "--algorithm.regulariser.alpha", "best_pace"),
        (
            ["--algorithm.learner.climb=0.3", "--algorithm.speedup=1.2", "--algorithm.learner.batch=8"],
            "--algorithm.learner.climb, --algorithm.speedup",
            "best_pace",
        ),
        (["--algorithm.caution=2", "--algorithm.acts=best_proposal"], "--algorithm.caution", "best_proposal"),
        (["--algorithm.paces", "1", "1.2", "--train.take-over=scripted"], "--algorithm.paces", "best_proposal"),
        (["--algorithm.speedup=1.2", "--algorithm.acts=mean"], "--algorithm.speedup", "mean"),
    ],
)
def test_settings_that_nothing_would_heed_are_named(
    failing: Failing, tmp_path: Path, flags: list[str], named: str, acts: str
) -> None:
    line = failing("record", "cup", "--out", tmp_path / "run", *tiny.FLAGS, *flags)
    assert f"error: {named}: not heeded with --algorithm.acts {acts}" in line
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_task_is_not_resumed(failing: Failing, tiny_run: Path) -> None:
    path = tiny_run / "config.json"
    path.write_text(path.read_text().replace('"task": "cup"', '"task": "saucer"'))
    line = failing("run", "cup", "--out", tiny_run, "--resume")
    assert str(tiny_run) in line and "saucer" in line


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text.replace('"format": 1', '"format": 99'), "99"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "", "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: text.replace('"robot_minutes"', '"robot_hours"'), "robot_hours"),
        (lambda text: text.replace('"trials": 1', '"trials": "one"'), "trials"),
    ],
    ids=["format", "half", "empty", "list", "field", "value"],
)
def test_a_damaged_or_foreign_configuration_is_named(
    failing: Failing, tiny_run: Path, spoil: Callable[[str], str], says: str
) -> None:
    path = tiny_run / "config.json"
    spoiled = spoil(path.read_text())
    assert spoiled != path.read_text()
    path.write_text(spoiled)
    line = failing("evaluate", tiny_run)
    assert str(tiny_run) in line and says in line
    assert path.read_text() == spoiled


def test_an_unknown_algorithm_is_named_with_what_was_meant(failing: Failing, tiny_run: Path, tmp_path: Path) -> None:
    line = failing("train", tiny_run, "--algorithm", "iblor", "--out", tmp_path / "other")
    assert "--algorithm iblor" in line and "did you mean iborl?" in line
    assert "--out" in failing("train", tiny_run, "--algorithm", "rlpd")
    assert not (tmp_path / "other").exists()


def test_evaluating_before_there_is_a_policy_says_so(failing: Failing, tiny_run: Path) -> None:
    forget_clone(tiny_run)
    shutil.rmtree(tiny_run / "policy")
    line = failing("evaluate", tiny_run)
    assert str(tiny_run) in line and "policy" in line


def test_training_before_there_is_a_clone_says_so(failing: Failing, tiny_run: Path, tmp_path: Path) -> None:
    forget_clone(tiny_run)
    shutil.rmtree(tiny_run / "episodes")
    shutil.rmtree(tiny_run / "rollouts")
    for flags in ([], ["--resume"], ["--algorithm", "rlpd", "--out", tmp_path / "other"]):
        assert "dexloop pretrain" in failing("train", tiny_run, *flags)
    assert not (tmp_path / "other").exists()


def test_training_with_an_unknown_helper_changes_nothing(failing: Failing, tiny_run: Path, tmp_path: Path) -> None:
    before = (tiny_run / "config.json").read_bytes()
    for flags in (["--resume"], ["--out", tmp_path / "other"]):
        assert "--train.take-over keybord" in failing("train", tiny_run, "--take-over", "keybord", *flags)
    assert (tiny_run / "config.json").read_bytes() == before and not (tmp_path / "other").exists()


def test_what_is_there_already_is_said_to_be(
    failing: Failing, tiny_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", str(tiny_run)]) == 0
    assert f"{tiny_run / 'prior' / 'policy.safetensors'} is there already" in capfd.readouterr().err
    line = failing("reward", tiny_run)
    assert str(tiny_run) in line and "--reward simulation" in line


def test_cloning_without_demonstrations_says_so(failing: Failing, tiny_run: Path) -> None:
    forget_clone(tiny_run)
    shutil.rmtree(tiny_run / "demos")
    line = failing("pretrain", tiny_run)
    assert str(tiny_run / "demos") in line and "dexloop record" in line


def test_a_damaged_policy_is_named(failing: Failing, tiny_run: Path) -> None:
    policy = tiny_run / "prior" / "policy.safetensors"
    policy.write_bytes(policy.read_bytes()[:-100])
    assert str(policy) in failing("evaluate", tiny_run)


def test_a_classifier_without_pictures_is_refused(failing: Failing, tiny_run: Path, tmp_path: Path) -> None:
    path = tiny_run / "config.json"
    path.write_text(path.read_text().replace('"reward": "simulation"', '"reward": "classifier"'))
    for verb in (["train", tiny_run, "--resume", "--robot-minutes=0.8"], ["reward", tiny_run]):
        assert "--reward simulation" in failing(*verb)
    line = failing("run", "cup", "--out", tmp_path / "other", "--observation=privileged")
    assert "--observation privileged" in line and "--reward simulation" in line
    assert not (tmp_path / "other").exists()


def test_a_truncated_episode_is_named_and_the_rest_is_used(tiny_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = tiny_run / "demos/data/chunk-000/file-000.parquet"
    broken.write_bytes(broken.read_bytes()[:1000])
    forget_clone(tiny_run)
    assert main(["pretrain", str(tiny_run)]) == 0
    err = capfd.readouterr().err
    assert [line for line in err.splitlines() if str(broken) in line and line.startswith("warning: ")], err
    assert "Traceback" not in err
    assert (tiny_run / "prior" / "policy.safetensors").is_file()
    assert EpisodeDataset.open(tiny_run / "demos").episodes == [1]


def test_demonstrations_that_are_all_damaged_are_no_demonstrations(failing: Failing, tiny_run: Path) -> None:
    for broken in (tiny_run / "demos/data/chunk-000").iterdir():
        broken.write_bytes(broken.read_bytes()[:1000])
    forget_clone(tiny_run)
    line = failing("pretrain", tiny_run)
    assert str(tiny_run / "demos") in line


def test_a_truncated_video_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    root = tmp_path / "demos"
    with EpisodeDataset.create(root, HAND_ROBOT) as dataset:
        for seed in range(3):
            dataset.append(make_episode(HAND_ROBOT, seed))
    broken = root / "videos/observation.images.head/chunk-000/file-001.mp4"
    broken.write_bytes(broken.read_bytes()[:500])
    dataset = EpisodeDataset.open(root)
    assert dataset.episodes == [0, 2]
    assert len([w for w in dataset.warnings if str(broken) in w and "\n" not in w]) == 1


def test_numbers_that_are_none_are_found_before_they_are_learned_from(failing: Failing, tiny_run: Path) -> None:
    """A NaN in one action would otherwise be in every weight a little later."""
    path = tiny_run / "demos/data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    actions = np.array(table["action"].to_pylist(), np.float32)
    actions[3, 2] = np.nan
    place = table.schema.get_field_index("action")
    column = table.schema.field("action")
    values = pa.array(actions.tolist(), column.type)
    pq.write_table(table.set_column(place, column, values), path)
    forget_clone(tiny_run)
    assert str(path) in failing("pretrain", tiny_run)
    assert not (tiny_run / "prior").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only EGL can be told to find no driver")
def test_a_missing_graphics_library_is_named_with_its_remedy(tmp_path: Path) -> None:
    child = tiny.start(
        "record",
        "cup",
        f"--out={tmp_path / 'run'}",
        "--preset=smoke",
        MUJOCO_GL="egl",
        __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path),
    )
    text, _ = child.communicate(timeout=120)
    assert child.returncode == 1 and "Traceback" not in text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and text.rstrip().endswith(errors[0]), text
    assert "MUJOCO_GL=egl" in errors[0] and "libegl1" in errors[0] and "--observation privileged" in errors[0]
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tiny_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoints = tiny_run / "checkpoints"
    good = next(p for p in checkpoints.iterdir() if p.is_dir())
    damaged = checkpoints / f"{int(good.name) + 2:09d}"
    shutil.copytree(good, damaged)
    (damaged / "tensors.safetensors").write_bytes(b"half")
    assert main(["train", str(tiny_run), "--resume", "--robot-minutes=0.6"]) == 0
    err = capfd.readouterr().err
    told = [line for line in err.splitlines() if str(damaged) in line and line.startswith("warning: ")]
    assert len(told) == 1 and "Traceback" not in err
    updates = [r["updates"] for r in read_metrics(tiny_run / "metrics.jsonl") if r["kind"] == "update"]
    assert updates == sorted(updates) and updates[-1] > int(good.name)


def test_a_finished_run_is_passed_over_quickly_and_goes_on_with_more_minutes(
    tiny_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = len(EpisodeDataset.open(tiny_run / "episodes"))
    assert main(["train", str(tiny_run), "--resume"]) == 0
    assert len(EpisodeDataset.open(tiny_run / "episodes")) == before
    assert main(["train", str(tiny_run), "--resume", "--robot-minutes=0.6"]) == 0
    assert len(EpisodeDataset.open(tiny_run / "episodes")) == before + 1
    assert json.loads((tiny_run / "config.json").read_text())["config"]["train"]["robot_minutes"] == 0.6
    assert "Traceback" not in capfd.readouterr().err


def test_ctrl_c_says_how_to_go_on_and_resume_finishes(tiny_run: Path) -> None:
    """Ctrl-C reaches actor and learner alike, as a terminal sends it to the whole group."""
    for part in ("episodes", "checkpoints", "policy"):
        shutil.rmtree(tiny_run / part)
    (tiny_run / "metrics.jsonl").unlink()
    tiny.in_processes(tiny_run)
    child = tiny.start("train", tiny_run, "--robot-minutes=60")
    try:
        tiny.wait_for_episodes(tiny_run, 1, child)
        os.killpg(child.pid, signal.SIGINT)
        text, _ = child.communicate(timeout=90)
        left = tiny.group(child.pid)
    finally:
        tiny.end(child)
    assert child.returncode == 130, text
    assert "Traceback" not in text
    assert "--resume" in text.splitlines()[-1]
    reported = tiny.reported_episodes(tiny_run)
    assert (tiny_run / "checkpoints" / "last").is_file(), "Ctrl-C saves"
    assert left == []

    minutes = tiny.robot_minutes(tiny_run) + 0.1
    assert main(["train", str(tiny_run), "--resume", f"--robot-minutes={minutes}"]) == 0
    episodes = EpisodeDataset.open(tiny_run / "episodes").episodes
    assert set(reported) < set(episodes)


@pytest.mark.parametrize("name", ["serve", "stop", "rearm", "confirm", "calibrate", "doctor"])
def test_a_command_that_is_only_listed_says_where_it_goes(name: str, failing: Failing) -> None:
    assert failing(name).startswith(f"error: {name}: give it as the first word, as in: dexloop {name}")
