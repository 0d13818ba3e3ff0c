"""What the controller believes of arm and hand is what the simulated scene and its physics engine say."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexloop.robot.chain import ArmChain, manipulability
from dexloop.robot.clearance import Body, segment_distance
from dexloop.robot.cone import into_cone
from dexloop.robot.hand_shape import FINGER_RADII, RIGID, finger_points, hand_shape
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.control import ActionCodec, ControlLimits
from dexloop.sim.hand import EE_IN_HAND, FLANGE_TO_HAND
from dexloop.sim.kinematics import JOINT_LIMITS, ArmKinematics, pose
from dexloop.sim.rotations import rotation_matrix, yaw_matrix
from dexloop.sim.scene import SceneConfig
from dexloop.sim.servo import ArmServo
from dexloop.sim.simulation import Simulation
from dexloop.sim.tasks.cup import TASK

SIMULATION = Simulation(SceneConfig(), TASK.mjcf, 10.0)
CHAIN = ArmChain(SIMULATION.kinematics)
CHEST = SafetyLimits().chest
Joints = arrays(np.float64, 6, elements=st.floats(-1, 1)).map(lambda share: share * JOINT_LIMITS)
Fingers = arrays(np.float64, 6, elements=st.floats(0, 1))
Vector = arrays(np.float64, 3, elements=st.floats(-1, 1))
DIGITS = ("little", "ring", "middle", "index")


def put(joints: np.ndarray, fingers: np.ndarray) -> mujoco.MjData:
    """The simulated robot in this posture."""
    simulation, data = SIMULATION, SIMULATION.data
    data.qpos[simulation._arm] = joints
    data.qpos[simulation._fingers] = fingers * simulation._closed
    simulation._couple()
    mujoco.mj_kinematics(simulation.model, data)
    return data


def geom_points(name: str, data: mujoco.MjData) -> np.ndarray:
    """Points (N, 3) all over the surface of a capsule, cylinder or box."""
    geom = SIMULATION.model.geom(name) if isinstance(name, str) else SIMULATION.model.geom(int(name))
    size, kind = geom.size, int(geom.type[0])
    around = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], axis=1)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        local = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        local = size[0] * np.concatenate([circle, circle[:, [2, 0, 1]], circle[:, [0, 2, 1]]])
    else:
        rings = [circle * size[0] + (0, 0, z) for z in np.linspace(-size[1], size[1], 9)]
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            tilt = np.linspace(0, np.pi / 2, 5)
            rings += [
                size[0] * np.cos(t) * circle + (0, 0, s * (size[1] + size[0] * np.sin(t)))
                for t in tilt
                for s in (-1, 1)
            ]
        local = np.concatenate(rings)
    return data.geom_xpos[geom.id] + local @ data.geom_xmat[geom.id].reshape(3, 3).T


def outside(points: np.ndarray, ends: np.ndarray, radius: float) -> float:
    """How far the farthest of points (N, 3) is outside a capsule [m]."""
    segments = np.broadcast_to(ends, (len(points), 2, 3))
    return float(segment_distance(np.repeat(points[:, None], 2, axis=1), segments).max()) - radius


@settings(max_examples=50, deadline=None)
@given(joints=Joints)
def test_links_are_where_the_kinematics_has_them(joints: np.ndarray) -> None:
    frames = CHAIN.frames(joints[None])
    np.testing.assert_allclose(frames[0, 6], SIMULATION.kinematics.forward(joints), atol=1e-9)
    determinant = np.linalg.det(SIMULATION.kinematics.jacobian(joints))
    np.testing.assert_allclose(manipulability(frames)[0], determinant, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(place=Vector, turn=Vector, tool=Vector, joints=Joints)
def test_a_base_that_stands_anywhere_is_found(
    place: np.ndarray, turn: np.ndarray, tool: np.ndarray, joints: np.ndarray
) -> None:
    base = pose(place, rotation_matrix(2.0 * turn))
    kinematics = ArmKinematics(base, pose(0.2 * tool, rotation_matrix(tool)))
    chain = ArmChain(kinematics)
    np.testing.assert_allclose(chain.base, base, atol=1e-9)
    np.testing.assert_allclose(chain.frames(joints[None])[0, 6], kinematics.forward(joints), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(fingers=Fingers)
def test_fingers_are_those_of_the_simulated_hand(fingers: np.ndarray) -> None:
    data = put(np.zeros(6), fingers)
    hand = pose(data.body("hand").xpos, data.body("hand").xmat.reshape(3, 3))
    points = finger_points(fingers[None])[0] @ hand[:3, :3].T + hand[:3, 3]
    pairs = [((k, 4 + k), f"{name}1") for k, name in enumerate(DIGITS)]
    pairs += [((4 + k, 8 + k), f"{name}2") for k, name in enumerate(DIGITS)]
    pairs += [((12 + k, 13 + k), f"thumb{k + 1}") for k in range(3)]
    for (start, end), name in pairs:
        geom = SIMULATION.model.geom(name)
        axis = data.geom_xmat[geom.id].reshape(3, 3)[:, 2] * geom.size[1]
        # The engine chooses which end of a capsule comes first.
        axis = axis * np.sign(axis @ (points[end] - points[start]))
        np.testing.assert_allclose(points[start], data.geom_xpos[geom.id] - axis, atol=1e-6)
        np.testing.assert_allclose(points[end], data.geom_xpos[geom.id] + axis, atol=1e-6)
        assert FINGER_RADII[start] >= geom.size[0] - 1e-9, name


@settings(max_examples=40, deadline=None)
@given(joints=Joints, fingers=Fingers)
def test_capsules_cover_every_shape_of_the_simulated_robot(joints: np.ndarray, fingers: np.ndarray) -> None:
    model, data = SIMULATION.model, put(joints, fingers)
    frames = CHAIN.frames(joints[None])
    body = Body(CHAIN.base, CHEST)
    shape = hand_shape(fingers[None], FLANGE_TO_HAND)
    ends, radii = body.capsules(frames, shape)
    names = ("upper arm", "elbow", "forearm", "wrist", "hand", "column", "base")
    capsule = dict(zip(names, zip(ends[0], radii, strict=False), strict=False))
    covers = {
        "link1": ("column",),
        "link2": ("upper arm",),
        "link3": ("elbow",),
        "link4": ("forearm",),
        "link5": ("wrist",),
        "link6": ("wrist",),
        "base": ("base", "column"),
    }
    looked_at = 0
    for geom in range(model.ngeom):
        link = model.body(model.geom_bodyid[geom]).name
        points = geom_points(geom, data)
        if link in covers:
            # A rounded capsule leaves out the upper rim of the base's foot.
            slack = 0.02 if link == "base" else 1e-6
            assert min(outside(points, *capsule[name]) for name in covers[link]) <= slack, link
        elif model.body_rootid[model.geom_bodyid[geom]] == model.body("base").rootid[0]:
            assert outside(points, *capsule["hand"]) <= 1e-6, model.geom(geom).name
        else:
            continue
        looked_at += 1
    assert looked_at >= 7 + 13


@given(joints=Joints, turn=st.floats(-np.pi, np.pi))
def test_the_hand_is_looked_for_where_it_is_mounted(joints: np.ndarray, turn: float) -> None:
    """Its end effector is where the kinematics say, however it is turned on the flange."""
    hand_in_flange = yaw_matrix(turn)
    arm = ArmKinematics(CHAIN.base, pose(hand_in_flange @ EE_IN_HAND, hand_in_flange))
    flange = CHAIN.frames(joints[None])[0, 5]
    corner = hand_shape(np.zeros((1, 6)), arm.tool_rotation).points[0]
    wanted = arm.forward(joints) @ np.append(RIGID[0] - EE_IN_HAND, 1.0)
    np.testing.assert_allclose((flange @ np.append(corner, 1.0))[:3], wanted[:3], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(joints=Joints, fingers=Fingers)
def test_heights_are_those_of_the_lowest_shapes(joints: np.ndarray, fingers: np.ndarray) -> None:
    data = put(joints, fingers)
    frames, shape = CHAIN.frames(joints[None]), hand_shape(fingers[None], FLANGE_TO_HAND)
    body = Body(CHAIN.base, CHEST)
    heights = body.heights(body.points(frames, shape), shape)[0]
    palm = geom_points("palm", data)[:, 2].min()
    assert heights[3 : 3 + len(RIGID)].min() == pytest.approx(min(palm, heights[11], heights[12]), abs=1e-6)
    digits = [f"{name}{k}" for name in DIGITS for k in (1, 2)] + ["thumb1", "thumb2", "thumb3"]
    lowest = min(geom_points(name, data)[:, 2].min() for name in digits)
    assert heights[3 + len(RIGID) :].min() <= lowest + 1e-6
    assert heights[3 + len(RIGID) :].min() >= lowest - 0.004, "and hardly lower"


@settings(max_examples=100, deadline=None)
@given(ends=arrays(np.float64, (2, 2, 3), elements=st.floats(-1, 1)))
def test_segments_are_as_far_apart_as_their_nearest_points(ends: np.ndarray) -> None:
    share = np.linspace(0.0, 1.0, 60)[:, None]
    first, second = (a + share * (b - a) for a, b in ends)
    sampled = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    found = float(segment_distance(ends[0], ends[1]))
    # Of segments shorter than a micrometre the nearest points are lost in rounding.
    assert found <= sampled + 1e-6
    assert found >= sampled - 0.06, "no farther apart than half a step on either"


def test_parallel_and_degenerate_segments_have_a_distance() -> None:
    unit = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert float(segment_distance(unit, unit + np.array([0, 0.5, 0]))) == pytest.approx(0.5)
    assert float(segment_distance(unit, unit + np.array([3, 0, 0]))) == pytest.approx(2.0)
    point = np.array([[0.5, 0.2, 0], [0.5, 0.2, 0]])
    assert float(segment_distance(unit, point)) == pytest.approx(0.2)
    assert float(segment_distance(point, unit)) == pytest.approx(0.2)
    assert float(segment_distance(point, point + 1.0)) == pytest.approx(np.sqrt(3.0))


@settings(max_examples=100, deadline=None)
@given(turn=Vector, cone=st.floats(0.1, 1.5))
def test_an_orientation_is_brought_into_the_cone_and_else_left_alone(turn: np.ndarray, cone: float) -> None:
    start = TASK.ee_rotation
    turned = into_cone(2.0 * turn, start, cone)

    def angle(vector: np.ndarray) -> float:
        return float(np.arccos(np.clip((rotation_matrix(vector) @ start[:, 2]) @ start[:, 2], -1.0, 1.0)))

    assert angle(turned) <= cone
    if angle(2.0 * turn) < cone - 0.01:
        np.testing.assert_array_equal(turned, 2.0 * turn)
    else:
        assert angle(turned) >= min(cone, angle(2.0 * turn)) - 0.01, "no farther in than needed"


def test_the_default_workspace_is_that_of_the_tasks_servo() -> None:
    servo = ArmServo(SIMULATION.kinematics, ActionCodec("delta", ControlLimits(), 0.1), 0.1, np.eye(4))
    limits = SafetyLimits()
    low, high = np.array(limits.workspace_low), np.array(limits.workspace_high)
    middle = 0.5 * (low + high)
    up = pose(middle, rotation_matrix([0.0, np.pi / 2, 0.0]))
    for axis in range(3):
        for border, outwards in ((low, -1.0), (high, 1.0)):
            at = up.copy()
            at[axis, 3] = border[axis] + outwards * 0.01
            floor = 0.05 if axis == 2 and outwards < 0 else 0.01
            assert 0.01 - 1e-9 <= servo.outside(at) <= floor + 0.05
            at[axis, 3] = border[axis] - outwards * 0.06
            assert servo.outside(at) == 0.0


def test_the_hand_frame_is_the_flange_turned() -> None:
    tool = pose(FLANGE_TO_HAND @ EE_IN_HAND, FLANGE_TO_HAND)
    joints = np.array(TASK.home)
    frames = CHAIN.frames(joints[None])[0]
    np.testing.assert_allclose(frames[5] @ tool, frames[6], atol=1e-9)
