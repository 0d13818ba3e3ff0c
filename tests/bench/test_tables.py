"""Tables and figures say what their cells say, beside the paper's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from dexloop.bench.conditions import TABLE_1
from dexloop.bench.figures import figure_4, figure_5
from dexloop.bench.studies import ABLATIONS, PRIORS, Selection, ablation_cells, paper_cells
from dexloop.bench.tables import ablation_table, pool, table_1, table_2
from dexloop.cli import main
from dexloop.config import config_to_json
from dexloop.errors import DexloopError
from dexloop.report.statistics import wilson_interval
from dexloop.seeds import Purpose


def entry(task: str, policy: str, seed: int, steps: list[int | None], **fields: Any) -> dict[str, Any]:
    return {
        "task": task,
        "policy": policy,
        "seed": seed,
        "steps": steps,
        "robot_minutes": 0.0 if policy == "bc" else 30.2,
        "classifier": {"accuracy": 0.991, "false_positives_per_failed_episode": 0.04},
        "demonstration_steps": [50, 52],
        **fields,
    }


def row(table: str, *beginning: str) -> list[str]:
    start = "| " + " | ".join(beginning) + " |"
    line = next(line for line in table.splitlines() if line.startswith(start))
    return [part.strip() for part in line.strip("|").split("|")]


def test_table_2_pools_seeds_and_stands_beside_the_paper() -> None:
    cells = [entry("cup", "iborl", 1, [30, 40, None, 30]), entry("cup", "iborl", 2, [20, 20, 20, 20])]
    table = table_2([entry("cup", "bc", 1, [60, None]), *cells])
    shown = row(table, "cup", "`iborl`")
    assert shown[2] == "7/8 = 87.5 % (3, 4)"
    assert shown[4] == "26.7", "the mean over seeds of each seed's mean"
    assert shown[6:] == ["30", "87.5 %", "68.5"]
    low, high = wilson_interval(1, 2)
    assert row(table, "cup", "`bc`")[3] == f"{100 * low:.1f}–{100 * high:.1f} %"


def test_a_policy_without_any_success_has_no_steps() -> None:
    shown = row(table_2([entry("cube", "rlpd", 1, [None] * 40)]), "cube", "`rlpd`")
    assert shown[2] == "0/40 = 0.0 %" and shown[4] == shown[5] == "–" and shown[7:] == ["0 %", "–"]
    assert pool([entry("cube", "rlpd", 1, [None] * 40)])[0].interval == wilson_interval(0, 40)


def test_means_over_the_tasks_need_all_four() -> None:
    cells = [entry(task, "iborl", 1, [10, None]) for task in TABLE_1]
    assert "success 50.0 %, sum of the steps 40.0" in table_2(cells)
    assert "over the four tasks" not in table_2(cells[:3])


def test_table_1_names_what_was_measured_of_every_task() -> None:
    table = table_1([entry("scanner", "bc", 1, [1]), entry("scanner", "iborl", 1, [1]), entry("cup", "bc", 1, [1])])
    assert row(table, "scanner") == ["scanner", "31", "51.0", "random", "30", "41", "99.1 %", "95 %", "0.04"]
    assert row(table, "loopy")[1:5] == ["36", "–", "random", "–"]


def test_ablations_show_every_milestone() -> None:
    milestones = [
        {"robot_minutes": 8.1, "successes": 50, "trials": 60, "mean_steps": 41.25},
        {"robot_minutes": 16.2, "successes": 0, "trials": 60, "mean_steps": None},
    ]
    table = ablation_table([entry("cup", "climb_0", 10, [], milestones=milestones), entry("cup", "iborl", 10, [])])
    assert table.splitlines()[0].endswith("| 8 min | 16 min |")
    assert row(table, "cup", "`climb_0`")[3:] == ["50/60, 41.2", "0/60"]
    assert table.splitlines()[2].startswith("| cup | `iborl` |"), "the default comes first"


def test_a_study_has_the_cells_that_its_claim_needs() -> None:
    cells = paper_cells(Selection())
    claimed = [c for c in cells if c.policy in ("bc", "iborl")]
    assert len(claimed) == 2 * 3 * 4 and all(c.config.trials == 100 for c in claimed)
    assert len(cells) - len(claimed) == 5 * 4 and len({c.name for c in cells}) == len(cells)
    by_clone = {c.policy: c.base for c in cells if c.config.record.rollouts_by == "clone"}
    assert by_clone.keys() == {"iborl_policy", "rlpd", "iborl_ablated", "iborl_paper"}
    published = {c.policy for c in cells if c.config.representation.memory == 0}
    assert published == by_clone.keys(), "the paper's methods see the present frame alone"
    assert not set(by_clone.values()) & {c.base for c in cells if c.config.record.rollouts_by == "act"}
    assert all(c.purpose is Purpose.TEST and c.config.train.runtime == "synchronous" for c in cells)
    for cell in cells:
        given = TABLE_1[cell.config.task]
        assert cell.config.record.episodes == given.demonstrations and cell.config.sim.reset == given.reset
        assert cell.config.train.robot_minutes <= given.paper_minutes
        assert cell.config.reward == "classifier" and cell.config.observation == "images"
    by_base: dict[str, set[str]] = {}
    for cell in cells:
        by_base.setdefault(cell.base, set()).add(repr(cell.config.record) + cell.config.sim.reset)
    assert all(len(shared) == 1 for shared in by_base.values())


def test_every_ablation_changes_something_and_is_judged_on_tuning_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without such a processor cells are in float32 as they are.
    monkeypatch.setattr("dexloop.bench.studies.multiplies_bfloat16", lambda: True)
    cells = ablation_cells(Selection(tasks=("cube",), seeds=(10,)))
    assert {c.policy for c in cells} == {*ABLATIONS, *PRIORS}
    assert all(c.purpose is Purpose.TUNING for c in cells)
    assert {c.policy for c in cells if c.config.reward == "simulation"} == {"true_reward"}
    from_state = ablation_cells(Selection(tasks=("cube",), seeds=(10,), observation="privileged"))
    assert all(c.config.reward == "simulation" for c in from_state)
    settings = [repr(config_to_json(c.config)) for c in cells]
    assert len(set(settings)) == len(cells)
    assert len({c.base for c in cells}) == 1 + len(PRIORS)


def test_ablations_can_be_made_together() -> None:
    (cell,) = ablation_cells(
        Selection(
            tasks=("scanner",), policies=("no_hand_view+climb_0+no_reconstruction",), seeds=(10,), observation="images"
        )
    )
    assert cell.config.sim.hand_view == 0.0 and cell.config.representation.reconstruction_weight == 0.0
    assert cell.config.algorithm.learner.climb == 0.0
    assert cell.base == "scanner-10-no_hand_view+no_reconstruction", (
        "what is learned online does not change what it starts from"
    )
    with pytest.raises(DexloopError, match="did you mean no_hand_view"):
        ablation_cells(Selection(policies=("climb_0+no_hand_veiw",)))


def test_figure_5_begins_with_the_first_episode(tmp_path: Path) -> None:
    """Not with the critics' warm-up, which would be a line from minute 0."""
    curve = {"episode_robot_minutes": [6.0, 7.0], "episode_true_success": [True, True]}
    warm = {"update_robot_minutes": [0.0, 6.0, 7.0], "update_bc_weight": [0.0, 0.6, 0.2]}
    without = {"update_robot_minutes": [0.0, 6.0, 7.0], "update_bc_weight": [None, 0.6, 0.2]}
    for name, updates in (("warm", warm), ("without", without)):
        figure_5([entry("cup", "iborl_policy", 1, [30], curve=curve | updates)], tmp_path / f"{name}.png")
    assert np.array_equal(image.imread(tmp_path / "warm.png"), image.imread(tmp_path / "without.png"))


def test_figures_show_what_the_cells_have(tmp_path: Path) -> None:
    curve = {
        "update_robot_minutes": [1.0, 2.0, 3.0],
        "update_bc_weight": [None, 0.6, 0.2],
        "episode_robot_minutes": list(range(30)),
        "episode_true_success": [i > 10 for i in range(30)],
    }
    cells = [entry("cup", policy, 1, [30, None, 40], curve=curve) for policy in ("bc", "act", "iborl", "iborl_policy")]
    figure_4(cells, tmp_path / "4.png")
    figure_5(cells, tmp_path / "figures" / "5.png")
    for picture in (tmp_path / "4.png", tmp_path / "figures" / "5.png"):
        drawn = image.imread(picture)[..., :3]
        blue = (drawn[..., 2] > 0.55) & (drawn[..., 0] < 0.3)
        assert blue.sum() > 100, "the default's colour"
        assert np.mean(drawn.min(-1) < 0.9) > 0.01


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tabel1"], "did you mean table1"),
        (["table1", "--tasks", "cpu"], "did you mean cup"),
        (["table2", "--policies", "ibrl"], "did you mean iborl"),
        (["table2", "--policies", "bc+iborl"], "bc+iborl: there is no such one"),
        (["robustness", "--policies", "size+mass"], "size+mass: there is no such one"),
        (["ablations", "--policies", "no_memory+"], "there is no such one"),
        (["figure3", "--observation", "privileged"], "has no pictures"),
        (["figure4", "--policies", "rlpd"], "--policies rlpd: figure4 is made of other policies: bc, act, iborl"),
        (["table2", "--show"], "has no cell of table2"),
        (["table2", "--jobs", "0"], "--jobs must be at least 1"),
    ],
)
def test_mistakes_get_one_clear_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words, f"--runs={tmp_path}", f"--out={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
