"""The decorator for classes whose objects never change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(eq_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots, whose objects can be compared and hashed.

    The type checker refuses an assignment to an attribute of such an object. At run time, Python
    does not refuse the assignment. ``dataclass(frozen=True)`` would refuse it, but would make the
    creation of an object five times as expensive, and a step of an MLJob creates about fifty
    objects (ADR 0043).
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
