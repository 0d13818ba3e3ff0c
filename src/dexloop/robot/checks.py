"""Is this robot ready? Each check looks at one thing of one device, moves nothing, and returns findings."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from dexloop.doctor import Finding, check_disk
from dexloop.errors import DexloopError
from dexloop.robot.camera_sections import CameraSection
from dexloop.robot.devices import Array, Camera, Frame, Hand, HandState
from dexloop.robot.drivers.cameras import RealSenseConfig
from dexloop.robot.drivers.realman import RealmanArm
from dexloop.robot.hand_calibration import check_calibration
from dexloop.robot.hand_view import KnownCamera, hand_view
from dexloop.robot.hardware_plant import HardwareConfig
from dexloop.robot.placing import lowest_point, start_problems
from dexloop.robot.plant import tick_for
from dexloop.robot.robot_file import RobotFile
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.hand import FINGER_NAMES

PUSH_HZ = 200.0
"""The rate at which the arm is asked to send its state [Hz]."""
REST_FORCE = 0.5
"""What a finger that touches nothing may report [N], by choice: a quarter of what counts as contact by default."""

_LOOK_SECONDS = 1.0
_READS = 200
_READ_EVERY = 0.005  # [s]
_SLACK = 0.05  # beyond its calibration [closed fraction]
_SUNK = -0.02  # height at which the hand cannot be, so that the mounting is doubted [m]
_DARK, _FLAT = 8.0, 2.0  # mean and standard deviation of a picture that shows nothing [of 255], by choice
_FEW = 20.0  # kilograms or grams, what no arm of this kind carries and no hand weighs
_WEIGHED = 0.2  # how far a payload may be from what was weighed, as a share of it, by choice
_STEP_BYTES = 1024  # of a step besides its pictures, with room to spare
_ANSWER_SECONDS = 1.0
_JOINTS = 6
_LEAST = 0.1  # what the arm rounds [degrees, degrees/s]


def check_arm_state(arm: RealmanArm, stale: float) -> list[Finding]:
    """Whether the arm's state comes often enough, and what it says of itself; stale [s]: see ``RobotFile``."""
    times = _distinct(lambda: arm.state().seconds, _LOOK_SECONDS)
    rate, gap = _rate(times), float(np.diff(times).max(initial=0.0))
    needed = 1.0 / arm.period
    punctual = rate >= needed and gap < stale
    fault = arm.state().fault
    return [
        Finding(
            "arm state",
            punctual,
            f"{rate:.0f} states a second of {PUSH_HZ:.0f} asked for, longest gap {1e3 * gap:.0f} ms",
            _unless(
                punctual,
                f"at least {needed:.0f} a second are needed: use a cable and no Wi-Fi or hub, and end other programs",
            ),
        ),
        Finding(
            "arm errors",
            fault is None,
            fault or "none",
            _unless(fault is None, "look at the arm; enable it or clear its error on its page"),
        ),
    ]


def check_speeds(file: RobotFile, *, simulated: bool = False) -> Finding:
    """Whether the file says how fast a real robot may be; simulated devices may be as fast as they are."""
    limits = file.safety
    said = f"joints {math.degrees(limits.joint_speed):.0f} degrees/s, arm and hand {limits.point_speed:g} m/s"
    try:
        file.check_speeds()
    except DexloopError as error:
        return Finding("speed limits", simulated, said, "" if simulated else str(error))
    return Finding("speed limits", True, said)


def check_joints(joints: Array, joint_range: Sequence[float]) -> Finding:
    """Whether joints (6,) [rad] are within +-joint_range (6,) [rad]."""
    beyond = [i + 1 for i, (q, most) in enumerate(zip(joints, joint_range, strict=True)) if abs(q) > most]
    said = "  ".join(f"{angle:.1f}" for angle in np.degrees(joints))
    detail = f"{said} degrees" + (
        f"; joint {', '.join(map(str, beyond))} beyond [safety] joint_range" if beyond else ""
    )
    return Finding("arm joints", not beyond, detail, _unless(not beyond, "jog or guide the arm back into its range"))


def check_arm_limits(arm: RealmanArm, limits: SafetyLimits) -> Finding:
    """Whether the arm's own limits of angle and speed lie beyond those of the file.

    A target beyond its own the arm does not follow, which the controller would take for a fault.
    """
    name, remedy = "arm limits", "lower [safety] joint_range and joint_speed to these, or set the arm's own on its page"
    low, high, speed = (
        _six(ask_arm(arm, f"get_{what}", what), key, scale)
        for what, key, scale in (
            ("joint_min_pos", "min_pos", 1e-3),
            ("joint_max_pos", "max_pos", 1e-3),
            # In 0.001 revolutions a minute.
            ("joint_max_speed", "joint_speed", 1e-3 * 360.0 / 60.0),
        )
    )
    if low is None or high is None or speed is None:
        return Finding(name, True, "this firmware does not say")
    ours = np.degrees(limits.joint_range)
    ok = bool((low <= -ours + _LEAST).all() and (high >= ours - _LEAST).all())
    ok = ok and bool((speed >= math.degrees(limits.joint_speed) - _LEAST).all())
    ranges = "  ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
    return Finding(name, ok, f"{ranges} degrees, {speed.min():.0f} degrees/s", _unless(ok, remedy))


def _six(answer: dict[str, Any] | None, key: str, scale: float) -> Array | None:
    """Six numbers of an answer; None where they are not there."""
    values = (answer or {}).get(key)
    if not isinstance(values, list) or len(cast("list[object]", values)) != _JOINTS:
        return None
    return scale * np.array(values, float)


def check_payload(arm: RealmanArm, carried: float | None, *, simulated: bool = False) -> Finding:
    """Whether the arm's active tool weighs what hangs on the flange, ``carried`` [kg]; a simulated arm carries none.

    The arm answers get_current_tool_frame in grams or, by firmware, in kilograms. It carries at most five of these, and
    no hand weighs as few of those.
    """
    answer = ask_arm(arm, "get_current_tool_frame", "current_tool_frame")
    remedy = "set tool and payload (hand, adapter and load) on the arm's page, and payload in the robot file"
    if answer is None:
        return Finding("arm payload", True, f"this firmware does not say; {remedy}")
    told = answer.get("payload")
    payload = float(told) if isinstance(told, (int, float)) else 0.0
    payload = payload if payload <= _FEW else 1e-3 * payload
    right = payload > 0 if carried is None else abs(payload - carried) <= _WEIGHED * carried
    said = f"tool {answer.get('tool_name')!r}, payload {payload:g} kg"
    said += "" if carried is None else f", {carried:g} in the robot file"
    return Finding("arm payload", simulated or right, said, _unless(simulated or right, remedy))


def ask_arm(arm: RealmanArm, command: str, name: str) -> dict[str, Any] | None:
    """The arm's answer ``name`` to a question, None where it gives none within a second."""
    answers: list[dict[str, Any]] = []
    arrived = threading.Event()

    def take(message: dict[str, Any]) -> None:
        answers.append(message)
        arrived.set()

    for key in (name, command):
        arm.link.listen(key, take)
    arm.link.send({"command": command})
    return answers[0] if arrived.wait(_ANSWER_SECONDS) else None


def check_clocks(arm: RealmanArm, stale: float, overrun: float) -> list[Finding]:
    """Age of the arm's state at 200 reads, and how late this computer wakes for them.

    stale, overrun [s]: at which the controller calls it a fault. The arm sends no time of its own, so that ages count
    from when a state arrived.
    """
    ages, late = np.empty(_READS), np.empty(_READS)
    due = time.monotonic()
    for i in range(_READS):
        due += _READ_EVERY
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        ages[i], late[i] = now - arm.state().seconds, now - due
        due = max(due, now - _READ_EVERY)
    fresh, awake = float(ages.max()) < stale, float(late.max()) < overrun
    return [
        Finding(
            "state age",
            fresh,
            f"{_spread(ages)} over {_READS} reads; a fault from {1e3 * stale:.0f} ms",
            _unless(fresh, "as for arm state; [safety] stale is the limit"),
        ),
        Finding(
            "clock",
            awake,
            f"this computer woke {_spread(late)} late; a fault from {1e3 * overrun:.0f} ms",
            _unless(awake, "end other programs; two idle cores are needed"),
        ),
    ]


def check_hand_state(hand: Hand, file: RobotFile) -> list[Finding]:
    """Rate, errors, temperatures, forces at rest and places of the fingers; nothing must touch them."""
    states = list[HandState]()
    end = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < end or len(states) < 2:
        state = hand.state()
        if not states or state.seconds != states[-1].seconds:
            states.append(state)
        else:
            time.sleep(0.001)
    rate = _rate([state.seconds for state in states])
    newest, hz = states[-1], file.control.hz
    force = np.mean([state.force for state in states], axis=0)
    quick, pressed = rate >= hz, [i for i, f in enumerate(force) if abs(f) > REST_FORCE]
    hot = [i for i, degrees in enumerate(newest.temperature) if degrees > file.safety.highest_temperature]
    outside = [i for i, f in enumerate(newest.fingers) if not -_SLACK <= f <= 1.0 + _SLACK]
    warmth = (
        "the arm does not relay them" if np.isnan(newest.temperature).all() else f"{newest.temperature.max():.0f} °C"
    )
    return [
        Finding(
            "hand state",
            quick,
            f"{rate:.0f} reads a second, {hz:g} needed",
            _unless(quick, "shorten the line, or lower [control] hz"),
        ),
        Finding(
            "hand errors",
            newest.fault is None,
            newest.fault or "none",
            _unless(newest.fault is None, "free the finger, let the hand cool, then switch its supply off and on"),
        ),
        Finding(
            "hand temperature",
            not hot,
            f"{_of(hot)}: hotter than {file.safety.highest_temperature:g} °C" if hot else f"at most {warmth}",
            _unless(not hot, "let the hand cool, and lower [hand] force"),
        ),
        Finding(
            "hand forces",
            not pressed,
            ", ".join(f"{name} {f:.2f}" for name, f in zip(FINGER_NAMES, force, strict=True)) + " N",
            _unless(not pressed, f"let nothing touch {_of(pressed)}; if so already, calibrate its force sensor again"),
        ),
        Finding(
            "hand fingers",
            not outside,
            ", ".join(f"{name} {f:.2f}" for name, f in zip(FINGER_NAMES, newest.fingers, strict=True)) + " closed",
            _unless(not outside, f"{_of(outside)}: beyond [hand] open and closed; dexloop calibrate measures these"),
        ),
    ]


def check_hand_calibration(file: RobotFile, *, simulated: bool = False) -> Finding:
    """Whether [hand] open and closed were measured, and may be true; a simulated hand's are what the file says."""
    hand = file.hand
    if hand.transport == "arm-relay":
        return Finding("hand calibration", True, "none in the file: a relayed hand has its own")
    problem = check_calibration(hand.calibration, measured=not simulated)
    detail = problem or f"open {list(hand.calibration.open)}, closed {list(hand.calibration.closed)}"
    return Finding("hand calibration", problem is None, detail, _unless(problem is None, "run dexloop calibrate"))


def check_mounting(config: HardwareConfig, joints: Array, fingers: Array) -> Finding:
    """Whether the hand is above the table where the file has the arm's base; joints (6,) [rad], fingers (6,)."""
    height = lowest_point(config, joints, fingers)
    ok = height > _SUNK
    return Finding(
        "mounting",
        ok,
        f"the hand's lowest point is {1e3 * height:.0f} mm above the table, by [arm] base_position",
        _unless(ok, "measure base_position and base_rotation; dexloop calibrate finds height and turn"),
    )


def check_start(config: HardwareConfig, file: RobotFile) -> Finding:
    """Whether the start pose is in the workspace, and clear of table, stand and arm."""
    problems = start_problems(config, file.safety, tick_for(file.control.hz, file.arm.period))
    at = "  ".join(f"{angle:.1f}" for angle in np.degrees(config.home))
    detail = f"{at} degrees: " + ("; ".join(problems) if problems else "within workspace, clear of everything")
    remedy = "change [reset] home (dexloop calibrate takes the pose that you guide it to), or [workspace]"
    return Finding("start pose", not problems, detail, _unless(not problems, remedy))


def check_camera(camera: Camera, section: CameraSection, hz: float) -> list[Finding]:
    """Size, rate, and whether pictures show something and go on; hz: of the controller."""
    frames = list[Frame]()
    end = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < end:
        frame = camera.read()
        if not frames or frame.counter != frames[-1].counter:
            frames.append(frame)
        time.sleep(0.002)
    image = frames[-1].image
    size, wanted = (image.shape[0], image.shape[1]), (section.size[0], section.size[1])
    rate = _rate([frame.seconds for frame in frames])
    moving, shows = len(frames) > 1 and rate >= hz, image.mean() > _DARK and image.std() > _FLAT
    name, fps = f"camera {camera.name}", float(section.driver.fps)
    return [
        Finding(
            f"{name} size",
            size == wanted,
            f"{size[0]} x {size[1]} pixels",
            _unless(size == wanted, f"{wanted[0]} x {wanted[1]} expected: correct mode, crop and size"),
        ),
        Finding(
            f"{name} rate",
            moving,
            f"{rate:.0f} new pictures a second of {fps:g} asked for" if len(frames) > 1 else "always the same picture",
            _unless(moving, f"{hz:g} a second are needed: plug it in again, on a USB controller of its own"),
        ),
        Finding(
            f"{name} picture",
            bool(shows),
            f"mean {image.mean():.0f}, standard deviation {image.std():.0f} of 255",
            _unless(bool(shows), "it is dark or all the same: take off the cap, switch on the light, raise exposure"),
        ),
    ]


def check_hand_view(camera: KnownCamera, section: CameraSection, config: HardwareConfig) -> Finding:
    """Whether the end effector is in a camera's picture where episodes start, and large enough for its hand view."""
    frame, view = camera.read(), hand_view(section, camera.whole_intrinsics)
    height, width = (frame.image if frame.whole is None else frame.whole).shape[:2]
    square = view.square(config.kinematics().forward(np.array(config.home))[:3, 3])
    seen = square is not None and 0.0 <= square.centre[0] < width and 0.0 <= square.centre[1] < height
    if square is None or not seen:
        detail = "at home the end effector is outside the picture, so that the hand view is black"
        remedy = "measure position and target, and intrinsics or fovy"
    else:
        x, y = square.centre
        detail = (
            f"at home {view.width:g} m are {square.side:.0f} pixels, about ({x:.0f}, {y:.0f}) of {height} x {width}"
        )
        remedy = f"{view.size} are shown: choose a larger mode or hand_view, or a smaller size"
    ok = seen and square is not None and square.side >= view.size
    return Finding(f"camera {camera.name} hand view", ok, detail, _unless(ok, remedy))


def camera_device(section: CameraSection) -> str:
    """What the file calls the device: a serial number or a path."""
    driver = section.driver
    return f"RealSense {driver.serial}" if isinstance(driver, RealSenseConfig) else driver.device


def check_hour(file: RobotFile, directory: Path) -> Finding:
    """Whether an hour of episodes fits on the disk, at their largest: with pictures as they come from the cameras."""
    pictures = sum(3 * math.prod(size) for camera in file.cameras.values() for size in camera.sizes)
    finding = check_disk(directory, math.ceil(3600.0 * file.control.hz * (pictures + _STEP_BYTES)))
    return Finding("disk", finding.ok, f"{finding.detail}, for an hour of episodes", finding.remedy)


def attempt(name: str, check: Callable[[], list[Finding]], remedy: str) -> list[Finding]:
    """What a check finds; where its device is lost on the way, that is the finding."""
    try:
        return check()
    except DexloopError as error:
        return [Finding(name, False, str(error), remedy)]


def _distinct(read: Callable[[], float], seconds: float) -> list[float]:
    found = [read()]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = read()
        if value != found[-1]:
            found.append(value)
        time.sleep(0.0005)
    return found


def _rate(times: Sequence[float]) -> float:
    """Mean rate [Hz] of events at these times [s]; 0 for fewer than two."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _spread(seconds: Array) -> str:
    return f"{1e3 * float(np.median(seconds)):.1f} ms in the median, {1e3 * float(seconds.max()):.1f} ms at most"


def _of(fingers: Sequence[int]) -> str:
    return ", ".join(FINGER_NAMES[i] for i in fingers)


def _unless(ok: bool, remedy: str) -> str:
    return "" if ok else remedy
