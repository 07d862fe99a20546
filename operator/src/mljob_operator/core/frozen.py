"""The decorator of the classes whose objects never change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(eq_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots, whose objects can be compared and hashed.

    The type checker refuses to assign their attributes. Nothing refuses it at run time:
    ``dataclass(frozen=True)`` would, but makes the creation of an object five times as expensive,
    and a step of an MLJob creates about fifty (ADR 0043).
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
