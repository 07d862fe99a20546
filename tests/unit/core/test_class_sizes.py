"""Each class of ``mljob_operator.core`` has at most ``MAX_MEMBERS`` members, because a larger class
has more than one purpose. Inherited members don't count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mljob_operator.core

MAX_MEMBERS = 20

CLASS = """
@frozen
class Some:
    '''A class.'''

    constant = _other = 1
    field: int
    _private: int = 0

    @property
    def read(self) -> int:
        return self.field

    @read.setter
    def read(self, value: int) -> None:
        self.field = value

    async def _method(self) -> None:
        local = 1
"""


def members(found: ast.ClassDef) -> set[str]:
    names: set[str] = set()
    for statement in found.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def classes(text: str) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))


def test_each_member_counts_once() -> None:
    (found,) = classes(CLASS)
    assert members(found) == {"constant", "_other", "field", "_private", "read", "_method"}


MODULES = sorted(Path(mljob_operator.core.__path__[0]).rglob("*.py"))


def test_class_has_at_most_twenty_members() -> None:
    assert len(MODULES) > 50, "the modules of the core were found"
    found = {f"{file.name}: {made.name}": len(members(made)) for file in MODULES for made in classes(file.read_text())}
    large = {name: count for name, count in found.items() if count > MAX_MEMBERS}
    assert not large
