"""An arm, a hand and cameras as a plant, whatever wires they hang on."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Truth
from dexloop.robot.devices import Arm, Array, Camera, DeviceError, Frame, Hand, HandState
from dexloop.robot.hand_view import HandView
from dexloop.robot.plant import PlantState, Setpoint, tick_for
from dexloop.robot.polling import Poller
from dexloop.sim.hand import EE_IN_HAND
from dexloop.sim.kinematics import ArmKinematics, pose
from dexloop.sim.rotations import yaw_matrix
from dexloop.sim.scene import Mounting
from dexloop.types import HAND_VIEW

# A pose whose inverse kinematics leaves a larger error is out of reach [m or rad].
_REACHED = 1e-3
_RETREAT_STEPS = 5
_LOOKED_AT = 25
# A command to the hand is repeated after so long, since a hand that lost its power has forgotten it [s].
_REPEAT = 0.5
_REARM_SECONDS = 1.0
# So many states of the arm are kept, a tick apart, to be matched with pictures, which arrive late and less often.
_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class HardwareConfig:
    """Where the devices are and how they are driven.

    home (6,) [rad]: joint angles at which episodes start. fingers (6,): closed fractions there. control_hz: of the
    controller [Hz]. mounting: of the arm's base in the world. end_effector (3,) [m]: between palm, fingers and thumb,
    in the hand's frame. turn [rad]: of the hand on the flange, about its axis. retreat (3,) [m]: how far the open hand
    goes first on its way home, in the world. clearance [m]: height of the end effector above the table, below which
    the way home must not lead after that. finger_speed: share of the hand's highest. finger_force [N]: at which the
    hand itself stops a finger. stale [s]: age at which what a hand or camera says is a fault. camera_period [s]:
    between two looks for a new picture.
    """

    home: tuple[float, ...]
    fingers: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    control_hz: float = 10.0
    mounting: Mounting = field(default_factory=Mounting)
    end_effector: tuple[float, ...] = tuple(EE_IN_HAND.tolist())
    turn: float = math.pi
    retreat: tuple[float, float, float] = (0.0, 0.0, 0.10)
    clearance: float = 0.05
    finger_speed: float = 1.0
    finger_force: float = 5.0
    stale: float = 0.3
    camera_period: float = 1.0 / 60.0

    def kinematics(self) -> ArmKinematics:
        """Of this arm with its hand."""
        hand_in_flange = yaw_matrix(self.turn)
        tool = pose(hand_in_flange @ np.array(self.end_effector), hand_in_flange)
        return ArmKinematics(self.mounting.transform(), tool)


class World(Protocol):
    """What is around simulated devices and nobody knows around real ones; called from the controller's thread."""

    @property
    def privileged(self) -> int:
        """The size of ``truth().privileged``."""
        ...

    def truth(self) -> Truth:
        """Asked for once a control period."""
        ...

    def put_object(self, seed: int) -> None:
        """Put the object where an episode starts; the robot is at home."""
        ...


class HardwarePlant:
    """Reads hand and cameras in threads of their own, since a slow one must not delay the arm; owns all devices.

    world: around simulated devices. hand_views: second pictures NAME_hand, by the names of the cameras that they are
    cut from. Give an arm whose driver paces its commands the period ``tick_for(control_hz, arm.period)``. Raises
    DeviceError where a device does not answer.
    """

    name = "hardware"

    def __init__(
        self,
        arm: Arm,
        hand: Hand,
        cameras: Sequence[Camera],
        config: HardwareConfig,
        world: World | None = None,
        hand_views: Mapping[str, HandView] | None = None,
    ) -> None:
        self._hand_views = hand_views or {}
        self._arm, self._hand, self._cameras, self._config = arm, hand, cameras, config
        self._world = world
        self.tick = tick_for(config.control_hz, arm.period)
        self.kinematics = config.kinematics()
        self._wanted: Array | None = None
        self._relaxed: tuple[Array, Array] | None = None
        self._sent: Array | None = None
        self._sent_at = -float("inf")
        with contextlib.ExitStack() as opened:
            self._fingers = Poller("hand", hand.period, self._exchange, config.stale)
            opened.callback(self._fingers.close)
            self._pictures: dict[str, Poller[Frame]] = {}
            for camera in cameras:
                poller = Poller(f"camera {camera.name}", config.camera_period, camera.read, config.stale)
                opened.callback(poller.close)
                self._pictures[camera.name] = poller
            state = arm.state()
            # From here on they are closed by ``close``.
            opened.pop_all()
        self._arm_states = deque([state], _REMEMBERED)
        self._setpoint = Setpoint(state.joints, self._fingers.newest().fingers)

    @property
    def cameras(self) -> Mapping[str, tuple[int, int]]:
        """As large as their newest pictures."""
        sizes = {name: frame.image.shape for name, frame in self.frames().items()}
        return {name: (shape[0], shape[1]) for name, shape in sizes.items()}

    @property
    def privileged(self) -> int:
        """Of the world's truth; 0 where nobody knows it."""
        return 0 if self._world is None else self._world.privileged

    def state(self) -> PlantState:
        """The newest of arm and hand; raises DeviceError where one of them is lost."""
        arm = self._arm.state()
        self._arm_states.append(arm)
        hand = self._fingers.newest()
        faults = [f"{name}: {fault}" for name, fault in (("arm", arm.fault), ("hand", hand.fault)) if fault]
        return PlantState(arm.joints, hand.fingers, hand.force, hand.temperature, "; ".join(faults) or None)

    def command(self, setpoint: Setpoint) -> None:
        """To the arm now, to the hand as soon as it listens."""
        relaxed = self._relaxed
        if relaxed is not None and bool((setpoint.fingers != relaxed[0]).any()):
            self._relaxed = relaxed = None
        self._wanted = setpoint.fingers if relaxed is None else relaxed[1]
        self._setpoint = setpoint
        self._arm.command(setpoint.joints)

    def advance(self) -> None:
        """Time passes by itself."""

    def frames(self) -> Mapping[str, Frame]:
        """The newest picture of each camera and then each hand view; raises DeviceError for a camera that is lost.

        A hand view is around where the arm was when its picture came, as ``state`` measured it.
        """
        newest = {name: poller.newest() for name, poller in self._pictures.items()}
        near = {
            f"{name}{HAND_VIEW}": view.of(newest[name], self._hand_at(newest[name]))
            for name, view in self._hand_views.items()
        }
        # Whoever keeps an observation need not keep what the devices sent.
        return {name: replace(frame, whole=None) for name, frame in newest.items()} | near

    def truth(self) -> Truth | None:
        """The world's; None where nobody knows it."""
        return None if self._world is None else self._world.truth()

    def way_home(self, joints: Array, fingers: Array, *, straight: bool = False) -> Sequence[Setpoint]:
        """Open the hand, retreat as far as the arm reaches, and go home, straight in the angles of the joints.

        straight: without the retreat. Raises DexloopError where that leads too near to the table: then a person moves
        the arm.
        """
        opened, home = np.array(self._config.fingers), np.array(self._config.home)
        way = [Setpoint(joints, opened)]
        here = self.kinematics.forward(joints)
        for share in () if straight else np.linspace(0.0, 1.0, _RETREAT_STEPS + 1)[1:]:
            goal = pose(here[:3, 3] + share * np.array(self._config.retreat), here[:3, :3])
            solution = self.kinematics.solve(way[-1].joints, goal)
            if solution.residual > _REACHED:
                break
            way.append(Setpoint(solution.q, opened))
        retreated = way[-1].joints
        heights = [
            float(self.kinematics.forward(retreated + share * (home - retreated))[2, 3])
            for share in np.linspace(0.0, 1.0, _LOOKED_AT)
        ]
        if min(heights) < self._config.clearance:
            raise DexloopError(
                f"the way home leads within {min(heights):.3f} m of the table, less than {self._config.clearance:g}; "
                "move the arm up by hand"
            )
        return [*way, Setpoint(home, opened)]

    def reset(self, seed: int) -> Setpoint:
        """It is at home already; a simulated world has its object put back."""
        if self._world is not None:
            self._world.put_object(seed)
        return self._setpoint

    def halt(self) -> None:
        """Stop the arm by its own means; the fingers keep what they hold."""
        self._arm.stop()

    def rearm(self) -> None:
        """Clear the faults that devices report, let the fingers press no longer, and wait for what devices say then.

        Fingers that press beyond a limit would be in a fault again at once, and no action could open them.
        """
        try:
            healthy = self._arm.state().fault is None
        except DeviceError:
            healthy = False
        if not healthy:
            self._arm.clear_fault()
        try:
            faulty = self._fingers.forget(_REARM_SECONDS).fault is not None
        except DeviceError:
            faulty = True
        if faulty:
            self._hand.clear_fault()
        self._relax(self._fingers.forget(_REARM_SECONDS))
        for poller in self._pictures.values():
            poller.forget(_REARM_SECONDS)

    def close(self) -> None:
        """End the threads and let go of the devices; the arm holds its last setpoint."""
        for poller in (self._fingers, *self._pictures.values()):
            poller.close()
        for device in (self._arm, self._hand, *self._cameras):
            with contextlib.suppress(DeviceError):
                device.close()

    def _hand_at(self, frame: Frame) -> Array:
        """The end effector's place (3,) [m, world] when a picture was received."""
        arm = min(tuple(self._arm_states), key=lambda state: abs(state.seconds - frame.seconds))
        return self.kinematics.forward(arm.joints)[:3, 3]

    def _relax(self, state: HandState) -> None:
        """Have the fingers stay where they are until the setpoint changes, instead of where they press to."""
        given = self._setpoint.fingers
        self._relaxed = given, np.clip(state.fingers, 0.0, 1.0)
        self._wanted = self._relaxed[1]
        deadline = time.monotonic() + _REARM_SECONDS
        while np.abs(np.nan_to_num(state.force)).max() > self._config.finger_force and time.monotonic() < deadline:
            state = self._fingers.forget(_REARM_SECONDS)

    def _exchange(self) -> HandState:
        """In the hand's thread: what it shall do, where that is new, and what it says."""
        wanted, now = self._wanted, time.monotonic()
        if wanted is not None and (
            self._sent is None or now - self._sent_at > _REPEAT or bool((wanted != self._sent).any())
        ):
            six = np.ones(len(wanted))
            self._hand.command(wanted, six * self._config.finger_speed, six * self._config.finger_force)
            self._sent, self._sent_at = wanted, now
        return self._hand.state()
