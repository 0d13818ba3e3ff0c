"""The maker's SDK as a client of the simulator: what it understands, an arm would have said."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dexloop.robot.simulators.realman import KinematicPlant, RealmanSimulator

pytest.importorskip("Robotic_Arm.rm_robot_interface")

START = [10.0, -20.0, -30.0, 40.0, 50.0, 60.0]
# In a process of its own: the SDK has threads that no call ends.
CLIENT = """
import json, sys, time
from Robotic_Arm.rm_robot_interface import *

push_port, port = int(sys.argv[1]), int(sys.argv[2])
arm = RoboticArm(rm_thread_mode_e.RM_TRIPLE_MODE_E)
out = {"handle": arm.rm_create_robot_arm("127.0.0.1", port).id}
states = []
callback = rm_realtime_arm_state_callback_ptr(lambda state: states.append(state.to_dict()))
arm.rm_realtime_arm_state_call_back(callback)
custom = rm_udp_custom_config_t()
custom.joint_speed = custom.lift_state = custom.expand_state = 0
custom.hand_state = 1
out["set_push"] = arm.rm_set_realtime_push(rm_realtime_push_config_t(2, True, push_port, 0, "127.0.0.1", custom))
out["info"] = arm.rm_get_robot_info()
out["before"] = arm.rm_get_current_arm_state()
out["degrees"] = arm.rm_get_joint_degree()
out["limits"] = arm.rm_get_joint_max_pos()
out["speeds"] = arm.rm_get_joint_max_speed()
out["dh"] = arm.rm_get_DH_data()
algo = Algo(rm_robot_arm_model_e.RM_MODEL_RM_65_E, rm_force_type_e.RM_MODEL_RM_B_E)
out["forward"] = algo.rm_algo_forward_kinematics(out["before"][1]["joint"], 1)
target = [joint + 3.0 for joint in out["before"][1]["joint"]]
out["move"] = arm.rm_movej_canfd(target, False)
out["hand"] = arm.rm_set_hand_angle([0, 100, 200, 300, 400, 500], False, 1)
time.sleep(0.6)
out["stop"] = arm.rm_set_arm_stop()
out["after"] = arm.rm_get_current_arm_state()
out["clear"] = [arm.rm_clear_system_err(), arm.rm_set_joint_clear_err(3)]
last = states[-1]
out["pushed"] = [last["joint_status"], last["handState"], last["err"]]
print("RESULT" + json.dumps(out))
arm.rm_delete_robot_arm()
"""


def test_the_makers_sdk_connects_reads_and_moves(tmp_path: Path, unused_udp_port: int) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    with RealmanSimulator(KinematicPlant(np.radians(START)), push_port=unused_udp_port) as simulator:
        command = [sys.executable, str(script), str(unused_udp_port), str(simulator.port)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert simulator.ignored_frames == 0
    results = [line.partition("RESULT")[2] for line in run.stdout.splitlines() if "RESULT" in line]
    assert results, run.stdout + run.stderr
    out = json.loads(results[0])
    assert out["handle"] > 0
    assert out["info"][1]["arm_model"] == "RM_65"
    assert (out["set_push"], out["move"], out["hand"], out["stop"], out["clear"]) == (0, 0, 0, 0, [0, 0])
    np.testing.assert_allclose(out["before"][1]["joint"], START, atol=1e-3)
    np.testing.assert_allclose(out["degrees"][1], START, atol=1e-3)
    np.testing.assert_allclose(out["after"][1]["joint"], np.add(START, 3.0), atol=2e-3)
    np.testing.assert_allclose(out["limits"][1], [178.0, 130.0, 135.0, 178.0, 128.0, 360.0])
    np.testing.assert_allclose(out["speeds"][1], [180.0, 180.0, 225.0, 225.0, 225.0, 225.0])
    np.testing.assert_allclose(out["dh"][1]["d"], [0.2405, 0.0, 0.0, 0.21, 0.0, 0.144], atol=1e-6)
    np.testing.assert_allclose(out["dh"][1]["a"], [0.0, 0.0, 0.256, 0.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(out["dh"][1]["alpha"], [0.0, 90.0, 0.0, 90.0, -90.0, 90.0], atol=1e-3)
    np.testing.assert_allclose(out["dh"][1]["offset"], [0.0, 90.0, 90.0, 0.0, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(out["before"][1]["pose"], out["forward"], atol=1e-3)
    joints, hand, errors = out["pushed"]
    np.testing.assert_allclose(joints["joint_position"][:6], np.add(START, 3.0), atol=2e-3)
    assert joints["joint_en_flag"][:6] == [True] * 6
    assert hand["hand_pos"] == [400, 300, 200, 100, 0, 500]
    assert errors["err"] == ["0"]


@pytest.fixture
def unused_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
