"""The simulated controller: what it does with a message and what it answers.

The answers are those of a third-generation controller of an RM65-B, among them all that the maker's SDK asks for when
it connects.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.devices import Array
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.simulators.inspire.model import HandModel
from dexloop.robot.simulators.realman.plant import ArmPlant
from dexloop.sim.kinematics import JOINT_LIMITS, JOINT_SPEEDS, RM65_B, ArmKinematics
from dexloop.sim.rotations import quaternion

Message = dict[str, Any]

FRAME_STEP = math.radians(10.0)
FRAME_SPEED = math.radians(180.0)
"""The longest step [rad] and the highest speed [rad/s] from one target to the next that the joints respond to."""
TARGET_OUT_OF_LIMIT = 0x1002
HAND_PUSH_ORDER = [4, 3, 2, 1, 0, 5]
"""The state lists the fingers from the thumb, commands list them from the little finger."""
_MILLINEWTONS = registers.FORCE_ACT.scale * 1e3
"""Of the hand's unit of force [mN]."""


@dataclass(slots=True)
class PushSettings:
    """Where the state goes, every ``cycle`` times 5 ms."""

    ip: str
    port: int
    cycle: int = 1
    enable: bool = True
    hand: bool = False


@dataclass(slots=True)
class Errors:
    """What the arm reports to be wrong: error codes of the system, of each joint, and of the hand."""

    system: int = 0
    joints: list[int] = field(default_factory=lambda: [0] * 6)
    hand: int = 0


class Controller:
    """Follows streamed targets, reports the state and answers questions; has no sockets."""

    def __init__(
        self,
        plant: ArmPlant,
        push: PushSettings,
        hand: HandModel,
        *,
        period: float = 0.02,
        answer_frames: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """hand: what hangs on the flange and is relayed. period: what the streamed targets come at, if not later [s]:
        targets that the network bunches together are taken to be that far apart. answer_frames: answer targets, as the
        second generation does."""
        self.push, self.errors = push, Errors()
        self.ignored_frames = 0
        """Targets that the joints did not respond to."""
        self.enabled = [True] * 6
        self._plant, self._period, self._answer_frames, self._clock = plant, period, answer_frames, clock
        self._kinematics = ArmKinematics(np.eye(4), np.eye(4))
        self._hand = hand
        self._target: Array | None = None
        self._target_at = -math.inf
        self._handlers: dict[str, Callable[[Message], Message | None]] = {
            "movej_canfd": self._follow,
            "set_arm_stop": self._stop,
            "set_realtime_push": self._set_push,
            "clear_system_err": self._clear_system,
            "set_joint_clear_err": self._clear_joint,
            "set_hand_angle": self._move_hand,
            "hand_follow_angle": self._move_hand,
            "set_hand_speed": self._limit_hand,
            "set_hand_force": self._limit_hand,
            "get_realtime_push": self._get_push,
            "get_current_arm_state": self._current_state,
            "get_joint_degree": lambda _: {"state": "joint_degree", "joint": self._angles()},
            "get_joint_err_flag": self._error_flags,
            **{name: (lambda _, fixed=fixed: fixed) for name, fixed in _FIXED.items()},
        }

    def handle(self, message: Message) -> Message | None:
        """The answer to a message; None for one that has none, or is unknown."""
        handler = self._handlers.get(str(message.get("command")))
        return None if handler is None else handler(message)

    def state(self) -> Message:
        """What is pushed."""
        position, euler, quat = self._pose()
        state: Message = {
            "state": "realtime_arm_joint_state",
            "err": [self.errors.system],
            "joint_status": {
                "joint_current": [0] * 6,
                "joint_en_flag": [int(flag) for flag in self.enabled],
                "joint_err_code": list(self.errors.joints),
                "joint_position": self._angles(),
                "joint_temperature": [30_000] * 6,
                "joint_voltage": [24_000] * 6,
            },
            "waypoint": {"position": position, "euler": euler, "quat": quat},
        }
        if self.push.hand:
            fingers = self._of_hand(registers.ANGLE_ACT)
            state["hand"] = {
                "hand_pos": fingers,
                "hand_angle": fingers,
                "hand_force": [round(force * _MILLINEWTONS) for force in self._of_hand(registers.FORCE_ACT)],
                "hand_state": self._of_hand(registers.STATUS),
                "hand_err": self.errors.hand,
            }
        return state

    def _angles(self) -> list[int]:
        return [round(math.degrees(joint) * 1000.0) for joint in self._plant.joints().tolist()]

    def _pose(self) -> tuple[list[int], list[int], list[int]]:
        """The flange's position [1 um], Euler angles about fixed x, y, z [0.001 rad] and quaternion [1e-6]."""
        pose = self._kinematics.forward(self._plant.joints())
        r = pose[:3, :3]
        euler = (
            math.atan2(r[2, 1], r[2, 2]),
            math.atan2(-r[2, 0], math.hypot(r[2, 1], r[2, 2])),
            math.atan2(r[1, 0], r[0, 0]),
        )
        return (
            [round(x * 1e6) for x in pose[:3, 3].tolist()],
            [round(x * 1e3) for x in euler],
            [round(x * 1e6) for x in quaternion(r).tolist()],
        )

    def _follow(self, message: Message) -> Message | None:
        target = np.radians(np.array(message["joint"], dtype=np.float64) / 1000.0)
        now = self._clock()
        origin = self._plant.joints() if self._target is None else self._target
        seconds = max(now - self._target_at, self._period)
        allowed = min(FRAME_STEP, FRAME_SPEED * seconds) + 1e-4
        if (np.abs(target) > JOINT_LIMITS + 1e-9).any():
            self.errors.system = TARGET_OUT_OF_LIMIT
            self.ignored_frames += 1
        elif (np.abs(target - origin) > allowed).any() or self._halted():
            self.ignored_frames += 1
        else:
            self._target, self._target_at = target, now
            self._plant.command(target)
        if not self._answer_frames:
            return None
        return {"state": "joint_state", "joint": self._angles(), "arm_err": self.errors.system}

    def _halted(self) -> bool:
        """Whether the joints follow nothing before somebody has cleared an error."""
        return self.errors.system != 0 or any(self.errors.joints) or not all(self.enabled)

    def _stop(self, message: Message) -> Message:
        self._target = None
        self._plant.command(self._plant.joints())
        return {"command": message["command"], "arm_stop": True}

    def _set_push(self, message: Message) -> Message:
        custom = message.get("custom", {})
        self.push = PushSettings(
            message["ip"], message["port"], message["cycle"], message["enable"], custom.get("hand", self.push.hand)
        )
        return {"command": message["command"], "state": True}

    def _get_push(self, message: Message) -> Message:
        push = self.push
        custom = {"expand_state": False, "joint_speed": False, "lift_state": False, "hand": push.hand}
        answer: Message = {"command": message["command"], "cycle": push.cycle, "enable": push.enable, "port": push.port}
        return {**answer, "force_coordinate": 0, "ip": push.ip, "custom": custom}

    def _clear_system(self, message: Message) -> Message:
        self.errors.system = 0
        return {"command": message["command"], "clear_state": True}

    def _clear_joint(self, message: Message) -> Message:
        self.errors.joints[message["joint_clear_err"] - 1] = 0
        return {"command": message["command"], "joint_clear_err": True}

    def _current_state(self, _: Message) -> Message:
        position, euler, _quat = self._pose()
        state = {"joint": self._angles(), "pose": [*position, *euler], "err": [self.errors.system]}
        return {"state": "current_arm_state", "arm_state": state}

    def _error_flags(self, _: Message) -> Message:
        return {"state": "joint_err_flag", "err_flag": list(self.errors.joints), "brake_state": [0] * 6}

    def _of_hand(self, register: registers.Register) -> list[int]:
        """Six values of the hand in the order of the state."""
        values = self._hand.values(register)
        return [values[finger] for finger in HAND_PUSH_ORDER]

    def _move_hand(self, message: Message) -> Message:
        return {"command": message["command"], "set_state": self._write(registers.ANGLE_SET, message["hand_angle"])}

    def _limit_hand(self, message: Message) -> Message:
        command = message["command"]
        register = registers.SPEED_SET if command == "set_hand_speed" else registers.FORCE_SET
        return {"command": command, "set_state": self._write(register, [message[command.removeprefix("set_")]] * 6)}

    def _write(self, register: registers.Register, values: list[int]) -> bool:
        """Whether the hand takes these values."""
        try:
            self._hand.write(register.address, registers.encode(register, [int(value) for value in values]))
        except DexloopError:
            return False
        return True


def _dh(i: int) -> list[int]:
    """A row of the Denavit-Hartenberg table: alpha [0.001 degrees], a [1 um], d [1 um], offset [0.001 degrees]."""
    row = RM65_B[i]
    return [
        round(math.degrees(row.alpha) * 1e3),
        round(row.a * 1e6),
        round(row.d * 1e6),
        round(math.degrees(row.offset) * 1e3),
    ]


_LIMITS = [round(math.degrees(limit) * 1000.0) for limit in JOINT_LIMITS.tolist()]
_FIXED: dict[str, Message] = {
    "get_arm_software_info": {
        "command": "arm_software_info",
        "Product_version": "RM65-BI",
        "algorithm_info": {"version": "1.4.4"},
        "ctrl_info": {"build_time": "2024/08/28 18:36:18", "version": "V1.6.1"},
        "dynamic_info": {"model_version": "2"},
        "plan_info": {"build_time": "2024/08/28 18:36:33", "version": "V1.6.1"},
    },
    "get_arm_current_trajectory": {"state": "arm_current_trajectory", "type": "none", "data": [0] * 6},
    "get_current_work_frame": {"state": "current_work_frame", "frame_name": "World", "pose": [0] * 6},
    "get_current_tool_frame": {
        "state": "current_tool_frame",
        "tool_name": "Arm_Tip",
        "pose": [0] * 6,
        "payload": 0,
        "position": [0, 0, 0],
    },
    "get_install_pose": {"state": "install_pose", "pose": [0, 0, 0]},
    "get_joint_min_pos": {"state": "joint_min_pos", "min_pos": [-limit for limit in _LIMITS]},
    "get_joint_max_pos": {"state": "joint_max_pos", "max_pos": _LIMITS},
    # In 0.001 revolutions a minute and 0.01 revolutions per square minute.
    "get_joint_max_speed": {
        "state": "joint_max_speed",
        "joint_speed": [round(speed * 60.0 / math.tau * 1000.0) for speed in JOINT_SPEEDS.tolist()],
    },
    "get_joint_max_acc": {"state": "joint_max_acc", "joint_acc": [100_000] * 6},
    "get_DH_data": {"command": "get_DH_data", **{f"joint_{i + 1}": _dh(i) for i in range(len(RM65_B))}},
}
