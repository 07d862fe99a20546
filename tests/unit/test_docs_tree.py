"""The tree of packages in docs/architecture.md names the packages that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT

OPERATOR = Path("operator/src/mljob_operator")
WHOLE = (OPERATOR, Path("client/src/mljob"), Path("airflow-provider/src/mljob_airflow"))
"""Packages of which the tree names each sub-package and each module."""
PACKAGES_ONLY = (OPERATOR / "core", OPERATOR / "controllers", OPERATOR / "adapters")
"""Packages of which the tree has to name each sub-package. The tree may also name modules of these
packages.
"""


def named_paths(tree: str) -> Iterator[Path]:
    """Yield the path of each folder and module in ``tree``, the text of a tree of files. A name that
    ends with a slash is a folder. Any other name is a module, without the extension ``.py``.
    """
    folders: list[Path] = []
    for line in tree.splitlines():
        found = re.match(r"(?P<indent>(?:  ){0,3})(?P<names>[\w/.-]+(?:, [\w/.-]+)*)(?:  |$)", line)
        if found is None:
            assert re.match(r" {36}\S", line), f"neither names nor the rest of a description: {line!r}"
            continue
        depth = len(found["indent"]) // 2
        assert depth <= len(folders), f"nothing contains {line!r}"
        paths = [Path(*folders[depth - 1 : depth], name) for name in found["names"].split(", ")]
        folders[depth:] = [paths[0]]
        for path, name in zip(paths, found["names"].split(", "), strict=True):
            yield path if name.endswith("/") else path.with_name(f"{path.name}.py")


@pytest.fixture(scope="module")
def named() -> list[Path]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = re.search(r"^## Packages\n\n```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert tree, "there is no tree below the heading Packages"
    return list(named_paths(tree[1]))


def packages(folder: Path) -> set[Path]:
    return {path.parent.relative_to(ROOT) for path in (ROOT / folder).glob("*/__init__.py")}


def modules(folder: Path) -> set[Path]:
    return {path.relative_to(ROOT) for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"}


def test_each_name_of_the_tree_exists(named: list[Path]) -> None:
    assert [path for path in named if not (ROOT / path).is_dir() and not (ROOT / path).is_file()] == []
    assert len(named) == len(set(named)), "a name is there twice"


@pytest.mark.parametrize("folder", WHOLE, ids=str)
def test_the_tree_names_each_package_and_module(folder: Path, named: list[Path]) -> None:
    assert packages(folder), "the packages are somewhere else"
    assert (packages(folder) | modules(folder)) - set(named) == set()


@pytest.mark.parametrize("folder", PACKAGES_ONLY, ids=str)
def test_the_tree_names_each_package_inside(folder: Path, named: list[Path]) -> None:
    assert packages(folder), "the packages are somewhere else"
    assert packages(folder) - set(named) == set()


def test_names_are_read_with_their_folders() -> None:
    tree = "a/b/    " + " " * 28 + "what it is,\n" + " " * 36 + "and why\n  c/, d   words\n    e   words\n  f   words\n"
    assert [*map(str, named_paths(tree))] == ["a/b", "a/b/c", "a/b/d.py", "a/b/c/e.py", "a/b/f.py"]
