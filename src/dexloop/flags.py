"""How a configuration shows on the command line: which of its fields are flags, and what --help says of each.

The docstring of a configuration describes its fields as "name: text. other [m], third [rad]: text of both."; here that
becomes the help of each flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

DECIDED_BY_RUN = frozenset({"task", "observation", "privileged", "end_on_success"})
"""Fields of SimConfig that a run or a service sets by what else it was told: neither flags nor stored with a run."""

# What is decided elsewhere: by TASK, by the other settings of a run, or by the preset of the algorithm.
# By the class's name: a robot's computer has flags as well, and not all that these classes' modules need.
_NO_FLAGS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "RunConfig": frozenset({"task"}),
        "SimConfig": DECIDED_BY_RUN,
        "AlgorithmConfig": frozenset({"name"}),
    }
)


def flags_of_configurations() -> ConstructorRegistry:
    """tyro's registry with the rule for configurations: dataclasses whose every default is given."""
    registry = ConstructorRegistry()
    registry.struct_rule(_flags)
    return registry


def described(configuration: type) -> tuple[str, dict[str, str]]:
    """What the docstring of a dataclass says of the whole, and of each field that it names."""
    name = rf"(?:{'|'.join(field.name for field in fields(configuration))})(?: \[[^]]+\])?"
    text = " ".join((configuration.__doc__ or "").replace("``", "").split())
    whole, *parts = re.split(rf"(?:^|(?<=[.;)] ))({name}(?:(?:, | and ){name})*): ", text)
    found: dict[str, str] = {}
    for names, said in zip(parts[::2], parts[1::2], strict=True):
        for one, unit in re.findall(r"(\w+)( \[[^]]+\])?(?:, | and |$)", names):
            found[one] = said.strip().rstrip(".;") + unit
    return whole.strip(), found


def _flags(info: StructTypeInfo) -> StructConstructorSpec | None:
    default: Any = info.default
    kind: type[Any] = type(default)
    # tyro puts dataclasses of its own around what it is given.
    if not is_dataclass(kind) or not kind.__module__.startswith("dexloop."):
        return None
    hints, (_, said) = get_type_hints(kind), described(kind)
    shown: list[StructFieldSpec] = []
    for name in (field.name for field in fields(kind) if field.name not in _NO_FLAGS.get(kind.__name__, ())):
        value, hint, text = getattr(default, name), hints[name], said.get(name)
        if is_dataclass(value):
            hint, text = type(value), described(type(value))[0] or text or ""
        elif any(is_dataclass(option) for option in get_args(hint)):
            continue  # a part that this configuration leaves out
        shown.append(StructFieldSpec(name, hint, value, text))

    def changed(**values: Any) -> Any:
        return replace(default, **values)

    return StructConstructorSpec(changed, tuple(shown))
