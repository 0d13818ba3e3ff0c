"""Each cell leaves one file, is never run twice, and shares its base only with cells of the same settings."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dexloop import DexloopError
from dexloop.algorithms.act import ActConfig
from dexloop.algorithms.bc import CloningConfig
from dexloop.bench.cell import Cell
from dexloop.bench.results import read_cells
from dexloop.bench.running import ready_base, run_cell
from dexloop.bench.work import claimed, run_cells
from dexloop.config import RunConfig, TrainConfig, read_config
from dexloop.core import Operator
from dexloop.networks.act_storage import load_act
from dexloop.pipeline.run import Run
from dexloop.seeds import Purpose
from dexloop.sim.proprioception import PROPRIO_SIZE
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.state import PRIVILEGED_SIZE
from dexloop.types import RobotSpec
from tests.digests import digest


@pytest.fixture
def config(finished_run: Path) -> RunConfig:
    found = read_config(finished_run / "config.json")
    return replace(found, trials=2, train=TrainConfig(robot_minutes=0.5, runtime="synchronous"))


def cells_of(config: RunConfig) -> list[Cell]:
    return [
        Cell("bc", "cup-0", config),
        Cell("iborl", "cup-0", config, Purpose.TUNING, milestones=(0.3,)),
    ]


def written(results: Path, name: str) -> dict[str, Any]:
    return json.loads((results / f"{name}.json").read_text())


def test_a_cell_leaves_one_file_with_all_that_a_table_needs(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    run_cells(cells_of(config), runs, results, "dexloop bench table2", jobs=1)

    clone, learned = written(results, "cup-bc-0"), written(results, "cup-iborl-0")
    assert (clone["task"], clone["policy"], clone["seed"], clone["robot_minutes"]) == ("cup", "bc", 0, 0.0)
    assert clone["trials"] == 2 == len(clone["steps"]) and clone["trial_seeds"] == "test"
    assert clone["demonstrations"] == 2 == len(clone["demonstration_steps"])
    assert clone["command"] == "dexloop bench table2" and clone["host"]["cores"] > 0 and clone["created"]
    assert "curve" not in clone

    assert learned["trial_seeds"] == "tuning" and learned["robot_minutes"] >= 0.5
    before, first, last = learned["milestones"]
    assert before["robot_minutes"] == 0.0 and before["trials"] == 2
    assert 0.3 <= first["robot_minutes"] < last["robot_minutes"] == learned["robot_minutes"]
    curve = learned["curve"]
    assert len(curve["episode_success"]) == len(curve["episode_robot_minutes"]) > 0
    assert len(curve["update_q_mean"]) == len(curve["update_robot_minutes"]) > 0
    assert {path.name for path in (runs / "bases").iterdir()} == {"cup-0", "cup-0.lock"}

    listed = json.loads((runs / "cells" / "cup-0" / "iborl" / "evaluation.json").read_text())
    assert [(e["policy"], e["steps"]) for e in listed] == [("iborl (tuning trials)", learned["steps"])]
    listed = json.loads((runs / "bases" / "cup-0" / "evaluation.json").read_text())
    assert [(e["policy"], e["steps"]) for e in listed][:1] == [("bc", clone["steps"])]
    assert [(e["policy"], e["robot_minutes"]) for e in listed[1:]] == [("bc (tuning trials)", 0.0)]


def test_what_is_there_is_not_run_again(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    cells = cells_of(config)
    run_cells(cells, runs, results, "first", jobs=1)
    policy = runs / "cells" / "cup-0" / "iborl" / "policy" / "policy.safetensors"
    learned = digest(policy)
    (results / "cup-bc-0.json").unlink()
    before = (results / "cup-iborl-0.json").read_bytes()
    run_cells(cells, runs, results, "second", jobs=1)
    assert written(results, "cup-bc-0")["command"] == "second"
    assert (results / "cup-iborl-0.json").read_bytes() == before
    # Its file alone was lost: what was learned is still there, and so are the numbers.
    (results / "cup-iborl-0.json").unlink()
    run_cell(cells[1], runs, results, "third")
    assert digest(policy) == learned
    again = written(results, "cup-iborl-0")
    assert again.pop("command") == "third"
    assert again["milestones"] == json.loads(before)["milestones"]
    assert again["created"] == json.loads(before)["created"], "when the trials were made, not the file"


def test_other_trials_are_made_again_but_nothing_is_learned_again(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    run_cell(Cell("iborl", "cup-0", replace(config, trials=1)), runs, tmp_path / "try", "")
    policy = runs / "cells" / "cup-0" / "iborl" / "policy" / "policy.safetensors"
    learned = digest(policy)
    for purpose in (Purpose.TEST, Purpose.TUNING):
        run_cell(Cell("iborl", "cup-0", config, purpose), runs, results, "")
        made = written(results, "cup-iborl-0")
        assert (made["trials"], len(made["steps"]), made["trial_seeds"]) == (2, 2, purpose.name.lower())
        assert made["config"]["trials"] == 2
    assert digest(policy) == learned


def test_the_clone_is_tried_again_with_other_trials(config: RunConfig, tmp_path: Path) -> None:
    for trials in (1, 2):
        # A budget that the rollouts have spent: no online episode, so that every policy is still there.
        cell = Cell("iborl", "cup-0", replace(config, trials=trials, train=replace(config.train, robot_minutes=0.1)))
        run_cell(replace(cell, milestones=(0.05,)), tmp_path / "runs", tmp_path, "")
        assert [m["trials"] for m in written(tmp_path, "cup-iborl-0")["milestones"]] == [trials] * 3


def test_a_policy_that_has_learned_on_is_not_taken_for_its_earlier_self(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    cell = cells_of(config)[1]
    run_cell(cell, runs, results, "")
    before = written(results, "cup-iborl-0")
    with pytest.raises(DexloopError, match=r"cup-0/iborl has learned for .*its policy after 0\.3 is gone; remove that"):
        run_cell(replace(cell, config=replace(config, trials=1)), runs, results, "")
    shorter = replace(config, train=replace(config.train, robot_minutes=0.2))
    with pytest.raises(DexloopError, match=r"its policy after 0\.2 is gone"):
        run_cell(Cell("iborl", "cup-0", shorter), runs, results, "")
    assert written(results, "cup-iborl-0") == before


def test_runs_begun_with_other_settings_are_named_and_not_gone_on_with(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    learned = Cell("iborl", "cup-0", config)
    run_cell(learned, runs, results, "")
    before = written(results, "cup-iborl-0")

    other = replace(config, algorithm=replace(config.algorithm, caution=2.0, paces=(1.0,)))
    with pytest.raises(DexloopError, match=r"cup-0/iborl was begun .*\(--algorithm\.caution, --algorithm\.paces\)"):
        run_cell(replace(learned, config=other), runs, results, "")
    run_cell(Cell("bc", "cup-0", other), runs, results, "")
    assert written(results, "cup-bc-0")["config"]["algorithm"]["caution"] == 2.0, "nothing that a base rests on"

    cloned = replace(config, cloning=replace(config.cloning, updates=21))
    for policy in ("bc", "act", "iborl"):
        with pytest.raises(DexloopError, match=r"bases/cup-0 was begun .*\(--cloning\.updates\); remove that"):
            run_cell(Cell(policy, "cup-0", cloned), runs, results, "")
    assert written(results, "cup-iborl-0") == before

    longer = replace(config, trials=1, train=replace(config.train, robot_minutes=0.8))
    run_cell(replace(learned, config=longer), runs, results, "")
    assert written(results, "cup-iborl-0")["robot_minutes"] >= 0.8 > before["robot_minutes"]


def test_a_run_of_an_older_version_goes_on_and_its_result_says_with_what(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    cell = Cell("iborl", "cup-0", config)
    run_cell(cell, runs, results, "")
    base, own = runs / "bases" / "cup-0" / "config.json", runs / "cells" / "cup-0" / "iborl" / "config.json"
    for path in (base, own):
        stored = json.loads(path.read_text())
        del stored["config"]["cloning"]["updates"], stored["config"]["algorithm"]["speedup"]
        path.write_text(json.dumps(stored))
    assert config.algorithm.speedup != 1.0 and config.cloning.updates != CloningConfig().updates

    run_cell(replace(cell, config=replace(config, trials=1)), runs, results, "")
    run_cell(Cell("bc", "cup-0", config), runs, results, "")
    learned, clone = written(results, "cup-iborl-0")["config"], written(results, "cup-bc-0")["config"]
    assert learned["algorithm"]["speedup"] == 1.0 and learned["trials"] == 1
    assert learned["cloning"]["updates"] == clone["cloning"]["updates"] == CloningConfig().updates


def test_every_base_of_pictures_gets_a_classifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the cell that begins it learns from the simulation's word: others need one."""

    def begin(task: str, out: Path, settings: RunConfig, *, resume: bool) -> Run:
        raise DexloopError(f"{task} {settings.reward} {resume}")

    monkeypatch.setattr("dexloop.bench.running.begin", begin)
    seen = RunConfig(observation="images", reward="simulation")
    with pytest.raises(DexloopError, match="cup classifier False"):
        ready_base(Cell("true_reward", "cup-0", seen), tmp_path)
    with pytest.raises(DexloopError, match="cup simulation False"):
        ready_base(Cell("iborl", "cup-0-state", replace(seen, observation="privileged")), tmp_path)


def test_a_policy_is_tried_under_conditions_it_was_not_trained_with(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    trained = Cell("iborl", "cup-0", config)
    heavier = replace(config, sim=replace(config.sim, randomise=Randomisation(mass=(40.0, 40.0))))
    run_cells([Cell("mass", "cup-0", heavier, trained=trained)], runs, results, "", jobs=1)
    tried = written(results, "cup-mass-0")
    assert tried["config"]["sim"]["randomise"]["mass"] == [40.0, 40.0] and tried["robot_minutes"] >= 0.5
    kept = read_config(runs / "cells" / "cup-0" / "iborl" / "config.json")
    assert kept.sim.randomise == Randomisation()
    begun = read_config(runs / "bases" / "cup-0" / "config.json")
    assert begun.sim.randomise == Randomisation(), "other cells share it"
    run_cell(Cell("bc", "cup-0", config), runs, tmp_path, "")
    assert {path.name for path in results.iterdir()} == {"cup-mass-0.json"}


def test_act_is_trained_once_on_the_same_demonstrations_and_evaluated(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    cell = Cell("act", "cup-0", config)
    run_cell(cell, runs, results, "first")

    path = runs / "bases" / "cup-0" / "prior" / "act.safetensors"
    learned, entry = digest(path), written(results, "cup-act-0")
    assert (entry["policy"], entry["trials"], entry["robot_minutes"]) == ("act", 2, 0.0)
    assert entry["act"]["transformer"]["chunk"] == 20 and entry["act"]["updates"] == config.act.updates
    assert load_act(path).architecture.parts == (PROPRIO_SIZE, PRIVILEGED_SIZE), "and no images"

    (results / "cup-act-0.json").unlink()
    run_cell(cell, runs, results, "second")
    assert digest(path) == learned, "what is there is not trained again"
    again = written(results, "cup-act-0")
    assert again["act"] == entry["act"] and again["steps"] == entry["steps"]
    with pytest.raises(DexloopError, match=r"--act\.updates"):
        run_cell(replace(cell, config=replace(config, act=ActConfig(updates=9))), runs, results, "third")


@pytest.mark.slow
def test_workers_share_the_cells_among_them(config: RunConfig, tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    other = replace(config, seed=1)
    cells = [Cell("bc", "cup-0", config), Cell("bc", "cup-1", other), Cell("iborl", "cup-1", other)]
    run_cells(cells, runs, results, "both", jobs=2)
    assert [(e["policy"], e["seed"]) for e in read_cells(results)] == [("bc", 0), ("bc", 1), ("iborl", 1)]


def test_a_cell_that_cannot_be_run_does_not_stop_the_others(config: RunConfig, tmp_path: Path) -> None:
    broken = replace(config, seed=3, operator="no_such_module:operator")
    cells = [Cell("bc", "cup-3", broken), Cell("bc", "cup-0", config)]
    with pytest.raises(DexloopError, match="1 of 2 cells could not be run"):
        run_cells(cells, tmp_path / "runs", tmp_path / "results", "", jobs=1)
    assert [e["seed"] for e in read_cells(tmp_path / "results")] == [0]


def deadly(spec: RobotSpec) -> Operator:
    """An operator whose process is killed, as for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("cannot be reached")


def test_a_killed_worker_is_no_number_of_cells(config: RunConfig, tmp_path: Path) -> None:
    operators = ("no_such_module:operator", f"{__name__}:deadly")
    cells = [Cell("bc", f"cup-{s}", replace(config, seed=s, operator=o)) for s, o in enumerate(operators)]
    with pytest.raises(DexloopError, match=r"^1 of 2 cells could not .*; a worker was killed by signal 9 \(") as caught:
        run_cells(cells, tmp_path / "runs", tmp_path / "results", "", jobs=2)
    assert "9 cells" not in str(caught.value)


def _claim(path: str, answer: Any) -> None:
    with claimed(Path(path)) as mine:
        answer.send(mine)
        time.sleep(120)


def test_one_process_at_a_time_works_on_a_base(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_claim, args=(str(tmp_path / "lock"), theirs), daemon=True)
    other.start()
    assert ours.poll(60) and ours.recv() is True
    with claimed(tmp_path / "lock") as mine:
        assert not mine
    other.kill()
    other.join()
    with claimed(tmp_path / "lock") as mine:
        assert mine, "a lock must end with its process"


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "cup-bc-1.json").write_text("{")
    with pytest.raises(DexloopError, match=r"cup-bc-1\.json is damaged"):
        read_cells(tmp_path)
    (tmp_path / "cup-bc-1.json").write_text("[]")
    with pytest.raises(DexloopError, match="not the result of a cell"):
        read_cells(tmp_path)
