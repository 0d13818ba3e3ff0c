"""The RM65's driver against its simulator on loopback, in good days and bad."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dexloop.robot.devices import Array, DeviceError
from dexloop.robot.drivers.realman import RealmanArm, RelayedHand
from dexloop.robot.drivers.realman.link import Link
from dexloop.robot.drivers.realman.protocol import FRAME_STEP, LIMITS
from dexloop.robot.simulators.realman import KinematicPlant, RealmanSimulator

START = np.radians([10.0, -20.0, -30.0, 40.0, 50.0, 60.0])


@pytest.fixture
def simulator() -> Iterator[RealmanSimulator]:
    with RealmanSimulator(KinematicPlant(START)) as simulator:
        yield simulator


@pytest.fixture
def arm(simulator: RealmanSimulator) -> Iterator[RealmanArm]:
    arm = RealmanArm("127.0.0.1", simulator.port, 0, timeout=0.5)
    yield arm
    arm.close()


def until(condition: Callable[[], object], seconds: float = 2.0) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def sent(simulator: RealmanSimulator, command: str) -> list[bytes]:
    return [line for _, line in simulator.received if json.loads(line)["command"] == command]


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(DeviceError) as caught:
        call()
    return str(caught.value)


def test_state_is_what_the_arm_measures(arm: RealmanArm) -> None:
    state = arm.state()
    np.testing.assert_allclose(state.joints, START, atol=np.radians(0.0005))
    assert state.fault is None
    assert 0.0 <= time.monotonic() - state.seconds < 0.2


def test_states_keep_coming(arm: RealmanArm) -> None:
    before = arm.state().seconds
    until(lambda: arm.state().seconds > before)


def test_command_goes_out_byte_for_byte_and_is_followed(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    target = np.radians([12.0, -20.0, -30.0, 40.0, 50.0, 61.5])
    arm.command(target)
    until(lambda: np.allclose(arm.state().joints, target, atol=np.radians(0.01)))
    assert sent(simulator, "movej_canfd") == [
        b'{"command":"movej_canfd","joint":[12000,-20000,-30000,40000,50000,61500],"follow":false}'
    ]
    assert simulator.ignored_frames == 0


def test_a_second_of_streaming_at_50_hz_is_followed(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    """At up to 0.314 rad/s, behind by the plant's lag of 30 ms, the frame's 20 ms and the state's 5 ms: 17 mrad."""
    amplitude, times, errors = 0.2 * np.array([1, -1, 1, -1, 1, -1]), list[float](), list[float]()
    begin = tick = time.monotonic()
    while (phase := time.monotonic() - begin) < 1.0:
        target = START + amplitude * (1.0 - np.cos(np.pi * phase)) / 2.0
        called = time.monotonic()
        arm.command(target)
        times.append(time.monotonic() - called)
        errors.append(float(np.abs(arm.state().joints - target).max()))
        tick = max(tick + arm.period, time.monotonic())
        time.sleep(max(0.0, tick - time.monotonic()))
    assert len(times) <= 51
    assert max(errors) < 0.0314, "0.1 s behind: twice what a quiet machine has"
    assert simulator.ignored_frames == 0
    assert statistics.median(times) < 0.5 * arm.period
    until(lambda: np.allclose(arm.state().joints, target, atol=1e-3))


def test_commands_cannot_run_ahead_of_the_period(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    begin = time.monotonic()
    for _ in range(6):
        arm.command(START)
    assert time.monotonic() - begin >= 4.5 * arm.period
    until(lambda: len(sent(simulator, "movej_canfd")) == 6)


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (np.full(6, np.nan), "not finite"),
        (START + np.array([0, 0, 0, 0, np.inf, 0]), "joint 5 is not finite"),
        (START * [1, 1, 1, 1, 1, 7], "joint 6 at 420 degrees, its limit is 360"),
        (START[:5], "six joint angles"),
        (START + np.radians([0, 10.01, 0, 0, 0, 0]), "joint 2 would step 10.01 degrees at once"),
    ],
)
def test_a_command_that_the_arm_would_not_take_is_never_sent(
    arm: RealmanArm, simulator: RealmanSimulator, joints: Array, words: str
) -> None:
    assert words in error_of(lambda: arm.command(joints))
    arm.command(START)
    until(lambda: sent(simulator, "movej_canfd"))
    assert sent(simulator, "movej_canfd") == [
        b'{"command":"movej_canfd","joint":[10000,-20000,-30000,40000,50000,60000],"follow":false}'
    ]


def test_a_step_faster_than_180_degrees_a_second_is_refused(arm: RealmanArm) -> None:
    arm.command(START)
    assert "180 degrees/s" in error_of(lambda: arm.command(START + np.radians(9.0)))
    arm.command(START + np.radians(3.6))


def test_simulator_ignores_what_the_arm_does_not_respond_to(simulator: RealmanSimulator) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:

        def ignored(*frames: list[int]) -> int:
            before, heard = simulator.ignored_frames, len(simulator.received)
            for frame in frames:
                client.sendall(
                    json.dumps({"command": "movej_canfd", "joint": frame, "follow": False}).encode() + b"\r\n"
                )
            until(lambda: len(simulator.received) == heard + len(frames))
            time.sleep(0.02)
            return simulator.ignored_frames - before

        start = [10_000, -20_000, -30_000, 40_000, 50_000, 60_000]
        assert ignored([20_010, *start[1:]]) == 1
        assert ignored([19_990, *start[1:]]) == 0
        assert ignored([23_500, *start[1:]], [28_500, *start[1:]]) == 1


@given(
    arrays=st.lists(
        st.one_of(
            hnp.arrays(np.float64, 6, elements=st.floats(-7.0, 7.0)),
            hnp.arrays(np.float64, 6, elements=st.floats(-0.1, 0.1)),
            hnp.arrays(np.float64, 6, elements=st.floats()),
            hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=8), elements=st.floats()),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_commanded_only_steps_within_limits_are_sent(
    simulator: RealmanSimulator, arrays: list[Array]
) -> None:
    simulator.received.clear()
    arm = RealmanArm("127.0.0.1", simulator.port, 0, period=0.001)
    try:
        origin, accepted = np.rint(np.degrees(arm.state().joints) * 1e3), 0
        for array in arrays:
            with contextlib.suppress(DeviceError):
                arm.command(array)
                accepted += 1
        until(lambda: len(sent(simulator, "movej_canfd")) == accepted)
    finally:
        arm.close()
    for line in sent(simulator, "movej_canfd"):
        frame = np.array(json.loads(line)["joint"])
        assert (np.abs(frame) <= LIMITS).all()
        assert (np.abs(frame - origin) <= FRAME_STEP).all()
        origin = frame


def test_stop_brakes_and_the_next_step_counts_from_there(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    arm.command(START + np.radians(9.0))
    arm.stop()
    assert sent(simulator, "set_arm_stop") == [b'{"command":"set_arm_stop"}']
    time.sleep(0.1)
    rest = arm.state().joints
    time.sleep(0.1)
    np.testing.assert_allclose(arm.state().joints, rest, atol=np.radians(0.002))
    assert (np.abs(rest - START) < np.radians(9.0)).all()
    assert "would step" in error_of(lambda: arm.command(rest + np.radians(10.1)))


def test_silence_is_a_fault_in_words_and_passes(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.faults.silent = True
    until(lambda: arm.state().fault)
    assert arm.state().fault == "no state for 0.2 s"
    assert error_of(lambda: arm.command(START)) == "arm command refused: no state for 0.2 s"
    begin = time.monotonic()
    assert error_of(arm.stop) == "set_arm_stop: no answer from the arm within 0.5 s"
    assert time.monotonic() - begin < 0.8
    simulator.faults.silent = False
    until(lambda: arm.state().fault is None)
    arm.command(START)


def test_a_late_answer_is_no_answer(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.faults.delay = 0.7
    assert "no answer from the arm within 0.5 s" in error_of(arm.stop)
    assert "no state for" in str(arm.state().fault)
    simulator.faults.delay = 0.0
    until(lambda: arm.state().fault is None)


def test_an_arm_error_is_remembered_until_a_person_clears_it(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.errors.system = 0x100D
    until(lambda: arm.state().fault)
    simulator.errors.system = 0
    time.sleep(0.05)
    assert arm.state().fault == "collision (0x100D)"
    assert error_of(lambda: arm.command(START)) == "arm command refused: collision (0x100D)"
    assert sent(simulator, "clear_system_err") == sent(simulator, "movej_canfd") == []
    arm.clear_fault()
    assert sent(simulator, "clear_system_err") == [b'{"command":"clear_system_err"}']
    assert arm.state().fault is None
    arm.command(START)


def test_the_simulated_arm_keeps_an_error_and_follows_nothing_until_it_is_cleared(simulator: RealmanSimulator) -> None:
    simulator.errors.system = 0x1007
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:
        frame = {"command": "movej_canfd", "joint": [10_500, -20_000, -30_000, 40_000, 50_000, 60_000], "follow": False}
        for _ in range(3):
            client.sendall(json.dumps(frame).encode() + b"\r\n")
            time.sleep(0.02)
        until(lambda: simulator.ignored_frames == 3)
        assert simulator.errors.system == 0x1007
        client.sendall(b'{"command":"clear_system_err"}\r\n')
        until(lambda: simulator.errors.system == 0)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"state":"current_arm_state","arm_state":{"joint":[0,0,0,0,0,0],"pose":[0,0,0,0,0,0],"err":[4103]}}',
        b'{"state":"joint_state","joint":[0,0,0,0,0,0],"arm_err":4103}',
        b'{"command":"anything","sys_err":4103}',
        b'{"command":"anything","err":["0x1007"]}',
    ],
)
def test_an_error_in_any_answer_is_remembered_though_no_state_tells_it(
    arm: RealmanArm, simulator: RealmanSimulator, answer: bytes
) -> None:
    simulator.say(answer + b"\r\n")
    until(lambda: arm.state().fault)
    assert arm.state().fault == "joint overspeed (0x1007)"
    arm.clear_fault()
    assert arm.state().fault is None


def test_what_is_no_code_is_no_error(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.say(b'{"command":"anything","err":"nonsense"}\r\n{"command":"anything","err":{"a":1}}\r\n')
    time.sleep(0.05)
    assert arm.state().fault is None


def test_a_joint_error_is_cleared_at_its_joint(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.errors.joints[2] = 0x0020
    until(lambda: arm.state().fault)
    assert arm.state().fault == "joint 3: encoder error (0x0020)"
    arm.clear_fault()
    assert sent(simulator, "set_joint_clear_err") == [b'{"command":"set_joint_clear_err","joint_clear_err":3}']
    assert arm.state().fault is None


def test_a_fault_that_clearing_does_not_mend_stays(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    simulator.enabled[4] = False
    until(lambda: arm.state().fault)
    begin = time.monotonic()
    arm.clear_fault()
    assert time.monotonic() - begin < 0.8
    assert arm.state().fault == "joint 5: not enabled"


def test_an_error_in_the_answer_to_a_frame_is_a_fault() -> None:
    """Controllers of the second generation answer streamed targets."""
    with RealmanSimulator(KinematicPlant(START), answer_frames=True) as simulator:
        arm = RealmanArm("127.0.0.1", simulator.port, 0)
        try:
            arm.command(START)
            simulator.say(b'{"state":"joint_state","joint":[0,0,0,0,0,0],"arm_err":0}\r\n')
            time.sleep(0.05)
            assert arm.state().fault is None
            simulator.say(b'{"state":"joint_state","joint":[0,0,0,0,0,0],"arm_err":4103}\r\n')
            until(lambda: arm.state().fault)
            assert arm.state().fault == "joint overspeed (0x1007)"
        finally:
            arm.close()


def test_a_cut_connection_is_an_error_of_every_call_until_it_is_made_anew(
    arm: RealmanArm, simulator: RealmanSimulator
) -> None:
    simulator.cut()
    until(lambda: "closed the connection" in _failure(arm))
    for call in (arm.state, arm.stop, lambda: arm.command(START)):
        assert error_of(call) == "the arm closed the connection"
    arm.clear_fault()
    assert arm.state().fault is None
    arm.command(START)
    until(lambda: sent(simulator, "movej_canfd"))
    arm.stop()


@pytest.mark.parametrize("attempt", range(10))
def test_a_connection_that_the_arm_resets_is_closed_in_the_same_words_whoever_notices_it_first(attempt: int) -> None:
    """Who reads finds a reset, who sends at that moment a broken pipe."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = Link("127.0.0.1", server.getsockname()[1], timeout=0.5)
        try:
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

            def send_until_it_fails() -> None:
                deadline = time.monotonic() + 2.0
                while time.monotonic() < deadline:
                    link.send({"command": "get_joint_degree"})

            assert error_of(send_until_it_fails) == "the arm closed the connection"
            assert error_of(link.check) == "the arm closed the connection"
        finally:
            link.close()


def test_an_arm_that_was_switched_off_is_found_again_and_sends_its_state_and_hand(simulator: RealmanSimulator) -> None:
    port = simulator.port
    arm = RealmanArm("127.0.0.1", port, 0, timeout=0.5)
    try:
        hand = RelayedHand(arm)
        simulator.close()
        until(lambda: "closed the connection" in _failure(arm))
        assert "cannot be reached" in error_of(arm.clear_fault), "and it may be asked again"
        with RealmanSimulator(KinematicPlant(START + 0.1), port=port) as successor:
            successor.errors.system = 0x5009
            arm.clear_fault()
            np.testing.assert_allclose(arm.state().joints, START + 0.1, atol=1e-4)
            assert arm.state().fault is None and successor.errors.system == 0
            until(lambda: hand.state().fault is None)
            assert "would step" in error_of(lambda: arm.command(START - 0.1)), "it counts from where the arm is now"
            arm.command(START + 0.1)
            until(lambda: sent(successor, "movej_canfd"))
    finally:
        arm.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x00\xff\r\n", "which is no JSON object"),
        (b'{"command":\r\n', "which is no JSON object"),
        (b"[1]\r\n", "which is no JSON object"),
        (b"x" * 70_000, "the arm sent a line of more than 65536 bytes"),
    ],
)
def test_garbage_in_the_stream_ends_the_connection(
    arm: RealmanArm, simulator: RealmanSimulator, data: bytes, words: str
) -> None:
    simulator.say(data)
    until(lambda: words in _failure(arm))
    assert words in error_of(arm.stop)


def test_partial_and_joined_lines_are_understood(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    for part in (b'{"state":"joint_', b'state","arm_err":0}\r\n{"state":"x"}\r\n\r\n{"sta', b'te":"y"}\r\n'):
        simulator.say(part)
        time.sleep(0.02)
    arm.stop()
    assert arm.state().fault is None


def test_garbage_in_place_of_states_is_an_error_until_a_state_comes(
    arm: RealmanArm, simulator: RealmanSimulator
) -> None:
    simulator.faults.garbage = b"\x01\x02{"
    until(lambda: "no JSON object" in _failure(arm))
    simulator.faults.garbage = None
    until(lambda: not _failure(arm))


def test_states_of_strangers_are_not_the_arms(arm: RealmanArm) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        try:
            stranger.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this machine has one loopback address")
        for _ in range(20):
            stranger.sendto(b"nonsense", ("127.0.0.1", arm.pushes.port))
            assert arm.state().fault is None


def test_nobody_at_the_address_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "cannot be reached" in error_of(lambda: RealmanArm("127.0.0.1", port, 0, timeout=0.3))


def test_a_server_that_says_nothing_is_an_error_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        words = error_of(lambda: RealmanArm("127.0.0.1", server.getsockname()[1], 0, timeout=0.3))
        assert words == "set_realtime_push: no answer from the arm within 0.3 s"
        assert time.monotonic() - begin < 0.6


def test_an_arm_without_states_is_an_error_that_names_the_port(simulator: RealmanSimulator) -> None:
    """The answers come, the datagrams do not: what a firewall does."""
    simulator.push = lambda datagram: None  # type: ignore[method-assign]
    words = error_of(lambda: RealmanArm("127.0.0.1", simulator.port, 0, timeout=0.3))
    assert words.startswith("no state on UDP port")
    assert words.endswith("does a firewall block it?")


def test_a_taken_push_port_is_an_error(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    taken = arm.pushes.port
    assert "does another program read this arm?" in error_of(lambda: RealmanArm("127.0.0.1", simulator.port, taken))


def test_threads_end_with_the_arm_and_with_its_failures(simulator: RealmanSimulator) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("realman")]

    arm = RealmanArm("127.0.0.1", simulator.port, 0)
    assert sorted(threads()) == ["realman-link", "realman-push"]
    arm.close()
    assert threads() == []
    assert "is closed" in error_of(arm.state)
    arm.close()
    simulator.faults.silent = True
    error_of(lambda: RealmanArm("127.0.0.1", simulator.port, 0, timeout=0.1))
    assert threads() == []


def test_a_relayed_hand_closes_and_reports(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    hand = RelayedHand(arm)
    np.testing.assert_allclose(hand.state().fingers, 0.0)
    target = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    hand.command(target, np.full(6, 0.5), np.linspace(3.0, 4.0, 6))
    hand.command(target, np.full(6, 0.5), np.linspace(3.0, 4.0, 6))
    until(lambda: np.allclose(hand.state().fingers, target, atol=2e-3))
    lines = [line for _, line in simulator.received if b"hand" in line][1:]
    assert lines == [
        b'{"command":"set_hand_speed","hand_speed":500}',
        b'{"command":"set_hand_force","hand_force":306}',
        b'{"command":"hand_follow_angle","hand_angle":[900,800,700,600,500,400]}',
        b'{"command":"hand_follow_angle","hand_angle":[900,800,700,600,500,400]}',
    ]
    state = hand.state()
    assert state.fault is None
    assert np.isnan(state.temperature).all()
    assert arm.state().fault is None


def test_a_relayed_hand_refuses_what_is_no_command(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    hand, half = RelayedHand(arm, follow=False), np.full(6, 0.5)
    assert "fingers" in error_of(lambda: hand.command(np.full(6, np.nan), half, half))
    assert "must not exceed 1" in error_of(lambda: hand.command(half + 0.6, half, half))
    assert "force" in error_of(lambda: hand.command(half, half, half[:5]))
    assert sent(simulator, "set_hand_angle") == sent(simulator, "set_hand_speed") == []


def test_a_relayed_hands_faults_are_its_own(arm: RealmanArm, simulator: RealmanSimulator) -> None:
    hand = RelayedHand(arm, opened=2000)
    hand.command(np.zeros(6), np.ones(6), np.ones(6))
    until(lambda: hand.state().fault)
    assert hand.state().fault == "the arm refused hand_follow_angle"
    hand.clear_fault()
    assert hand.state().fault is None
    simulator.errors.hand = 1
    until(lambda: hand.state().fault)
    assert hand.state().fault == "hand error 1"
    assert "cannot be cleared through the arm" in error_of(hand.clear_fault)
    assert arm.state().fault is None


def _failure(arm: RealmanArm) -> str:
    """What state() raises, empty where it raises nothing."""
    try:
        arm.state()
    except DeviceError as error:
        return str(error)
    return ""
