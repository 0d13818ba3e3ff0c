from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActionGroup(_message.Message):
    __slots__ = ("name", "start", "stop", "velocity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    start: int
    stop: int
    velocity: bool
    def __init__(self, name: _Optional[str] = ..., start: _Optional[int] = ..., stop: _Optional[int] = ..., velocity: bool = ...) -> None: ...

class CameraSize(_message.Message):
    __slots__ = ("name", "height", "width")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    height: int
    width: int
    def __init__(self, name: _Optional[str] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("name", "task", "action_size", "action_groups", "action_names", "proprio_names", "cameras", "privileged_size", "control_hz", "max_steps", "reset_seconds", "robot_time", "real_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ACTION_SIZE_FIELD_NUMBER: _ClassVar[int]
    ACTION_GROUPS_FIELD_NUMBER: _ClassVar[int]
    ACTION_NAMES_FIELD_NUMBER: _ClassVar[int]
    PROPRIO_NAMES_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_HZ_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    RESET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ROBOT_TIME_FIELD_NUMBER: _ClassVar[int]
    REAL_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    action_size: int
    action_groups: _containers.RepeatedCompositeFieldContainer[ActionGroup]
    action_names: _containers.RepeatedScalarFieldContainer[str]
    proprio_names: _containers.RepeatedScalarFieldContainer[str]
    cameras: _containers.RepeatedCompositeFieldContainer[CameraSize]
    privileged_size: int
    control_hz: float
    max_steps: int
    reset_seconds: float
    robot_time: float
    real_time: bool
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ..., action_size: _Optional[int] = ..., action_groups: _Optional[_Iterable[_Union[ActionGroup, _Mapping]]] = ..., action_names: _Optional[_Iterable[str]] = ..., proprio_names: _Optional[_Iterable[str]] = ..., cameras: _Optional[_Iterable[_Union[CameraSize, _Mapping]]] = ..., privileged_size: _Optional[int] = ..., control_hz: _Optional[float] = ..., max_steps: _Optional[int] = ..., reset_seconds: _Optional[float] = ..., robot_time: _Optional[float] = ..., real_time: bool = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("lease", "seed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    lease: str
    seed: int
    def __init__(self, lease: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class HoldRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RearmRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class RearmReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfirmReply(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: str
    def __init__(self, question: _Optional[str] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("sequence", "policy_version", "issued_at", "valid_for", "values")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    VALID_FOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    policy_version: int
    issued_at: float
    valid_for: float
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, sequence: _Optional[int] = ..., policy_version: _Optional[int] = ..., issued_at: _Optional[float] = ..., valid_for: _Optional[float] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("camera", "height", "width", "encoding", "data", "counter", "captured_at")
    class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ENCODING_UNSPECIFIED: _ClassVar[Image.Encoding]
        ENCODING_RAW: _ClassVar[Image.Encoding]
        ENCODING_JPEG: _ClassVar[Image.Encoding]
    ENCODING_UNSPECIFIED: Image.Encoding
    ENCODING_RAW: Image.Encoding
    ENCODING_JPEG: Image.Encoding
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    camera: str
    height: int
    width: int
    encoding: Image.Encoding
    data: bytes
    counter: int
    captured_at: float
    def __init__(self, camera: _Optional[str] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., encoding: _Optional[_Union[Image.Encoding, str]] = ..., data: _Optional[bytes] = ..., counter: _Optional[int] = ..., captured_at: _Optional[float] = ...) -> None: ...

class Truth(_message.Message):
    __slots__ = ("privileged", "success", "holding")
    PRIVILEGED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    HOLDING_FIELD_NUMBER: _ClassVar[int]
    privileged: _containers.RepeatedScalarFieldContainer[float]
    success: bool
    holding: bool
    def __init__(self, privileged: _Optional[_Iterable[float]] = ..., success: bool = ..., holding: bool = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("sequence", "robot_time", "acknowledged", "executed", "proprio", "images", "fault", "truncated", "refused", "truth", "lease")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROBOT_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_FIELD_NUMBER: _ClassVar[int]
    PROPRIO_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    robot_time: float
    acknowledged: int
    executed: _containers.RepeatedScalarFieldContainer[float]
    proprio: _containers.RepeatedScalarFieldContainer[float]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    fault: str
    truncated: bool
    refused: str
    truth: Truth
    lease: str
    def __init__(self, sequence: _Optional[int] = ..., robot_time: _Optional[float] = ..., acknowledged: _Optional[int] = ..., executed: _Optional[_Iterable[float]] = ..., proprio: _Optional[_Iterable[float]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., fault: _Optional[str] = ..., truncated: bool = ..., refused: _Optional[str] = ..., truth: _Optional[_Union[Truth, _Mapping]] = ..., lease: _Optional[str] = ...) -> None: ...
