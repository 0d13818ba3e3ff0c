"""The run directory: begun once, of one format, its JSON files whole or named when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexloop.config import RunConfig, config_from_json, config_to_json, left_out, read_config
from dexloop.errors import DexloopError
from dexloop.pipeline.verbs import open_run
from dexloop.presets import ALGORITHMS, PRESETS
from dexloop.runtime.run_directory import FORMAT, RunDirectory


def begun(root: Path) -> RunDirectory:
    run = RunDirectory(root / "run")
    run.create(config_to_json(RunConfig(seed=3)))
    return run


def test_a_new_run_holds_its_configuration_and_where_it_was_begun(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert run.exists
    run.check_format()
    stored = json.loads(run.config.read_text())
    assert stored["format"] == FORMAT
    assert {"config", "dexloop_version", "created", "command", "host"} <= stored.keys()
    assert read_config(run.config) == RunConfig(seed=3)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_survives_its_json_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_to_json(PRESETS[name])))
    assert read_config(path) == PRESETS[name]


def test_what_a_run_decides_about_the_simulation_is_stored_once() -> None:
    stored = config_to_json(RunConfig(task="cube", observation="privileged"))
    assert (stored["task"], stored["observation"]) == ("cube", "privileged")
    assert not stored["sim"].keys() & {"task", "observation", "privileged", "end_on_success"}
    older = {**stored, "sim": {**stored["sim"], "task": "cup", "observation": "images"}}
    assert config_from_json(older, Path("of/before.json")) == config_from_json(stored, Path("of/now.json"))


def test_the_algorithms_of_the_table_carry_their_names() -> None:
    assert {name: algorithm.name for name, algorithm in ALGORITHMS.items()} == {n: n for n in ALGORITHMS}


def test_a_taken_place_is_refused_and_kept(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = run.config.read_bytes()
    with pytest.raises(DexloopError, match="--resume"):
        run.create({})
    assert run.config.read_bytes() == before


def test_changing_the_configuration_keeps_when_the_run_was_begun(tmp_path: Path) -> None:
    run = begun(tmp_path)
    before = json.loads(run.config.read_text())
    run.update_config(config_to_json(RunConfig(seed=9)))
    after = json.loads(run.config.read_text())
    assert after["created"] == before["created"] and read_config(run.config).seed == 9


def test_a_run_of_an_older_version_says_what_it_takes_from_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun(tmp_path)
    open_run(run.root)
    assert "warning" not in capsys.readouterr().err, "nothing is left out of what this version wrote"
    older = config_to_json(RunConfig(seed=3))
    del older["algorithm"]["speedup"], older["trials"]
    run.update_config(older)
    assert left_out(run.config, read_config(run.config)) == {"--algorithm.speedup", "--trials"}
    open_run(run.root)
    assert "--algorithm.speedup --trials" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("7", "damaged"),
        ("{}", "format"),
        ('{"format": 99, "config": {}}', "99"),
        (b"\xff\xfe\x00", "damaged"),
    ],
)
def test_other_formats_and_damaged_files_are_named(tmp_path: Path, content: str | bytes, says: str) -> None:
    run = begun(tmp_path)
    run.config.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DexloopError) as caught:
        run.check_format()
    assert str(run.root) in str(caught.value) and says in str(caught.value)


def test_a_place_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match=r"holds no run.*dexloop run"):
        RunDirectory(tmp_path / "none").check_format()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"seed": "many"}, "seed"),
        ({"sead": 3}, "sead"),
        ({"observation": "smell"}, "observation"),
        ({"train": {"robot_minutes": [1]}}, "robot_minutes"),
        (["seed"], ""),
        (None, ""),
    ],
)
def test_a_configuration_that_does_not_fit_names_file_and_field(values: object, says: str) -> None:
    with pytest.raises(DexloopError) as caught:
        config_from_json(values, Path("some/config.json"))
    assert "some/config.json" in str(caught.value) and says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1]", "3", '{"config": 3}', '{"config": null}'])
def test_a_file_that_holds_no_configuration_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(DexloopError, match=r"config\.json"):
        read_config(path)


def test_an_evaluation_replaces_an_earlier_one_of_the_same_policy(tmp_path: Path) -> None:
    run = begun(tmp_path)
    for policy, rate in (("bc", 0.3), ("iborl", 0.9), ("bc", 0.4)):
        run.add_evaluation({"policy": policy, "success_rate": rate})
    assert run.read_json(run.evaluation) == [
        {"policy": "iborl", "success_rate": 0.9},
        {"policy": "bc", "success_rate": 0.4},
    ]


def test_missing_and_damaged_json_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with pytest.raises(DexloopError, match=r"evaluation\.json is missing"):
        run.read_json(run.evaluation)
    run.evaluation.write_text("[{")
    with pytest.raises(DexloopError, match=r"evaluation\.json is damaged"):
        run.add_evaluation({"policy": "bc"})
    assert run.evaluation.read_text() == "[{"
