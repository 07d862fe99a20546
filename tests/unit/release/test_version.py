"""``release.version`` copies the version from the file ``VERSION`` to other files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from release import version
from release.version import ROOT, STATED, VersionError

PAGES = ("README.md", "docs/environments/msk.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in (version.SOURCE, *STATED, *PAGES):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_every_file_of_this_tree_states_the_version() -> None:
    assert [path for path, text in version.expected().items() if path.read_text() != text] == []


def test_a_new_version_reaches_every_file(tree: Path) -> None:
    (tree / version.SOURCE).write_text("12.34.56\n")

    files = {str(path.relative_to(tree)): text for path, text in version.expected(tree).items()}

    assert files.keys() == {*STATED, *PAGES}
    assert {path: text.count("12.34.56") for path, text in files.items() if path in STATED} == {
        path: len(lines) for path, lines in STATED.items()
    }
    assert "tag: 12.34.56-msk" in files["docs/environments/msk.md"]


def test_the_error_names_a_file_without_the_line_of_the_version(tree: Path) -> None:
    (tree / "contract/pyproject.toml").write_text("[project]\n")

    with pytest.raises(VersionError, match=r"contract/pyproject\.toml has 0 lines"):
        version.expected(tree)


@pytest.mark.parametrize("text", ["", "1.2", "1.2.3rc1", "1.2.3-rc.1", "v1.2.3", "01.2.3"])
def test_a_version_that_helm_and_python_read_differently_is_refused(tree: Path, text: str) -> None:
    (tree / version.SOURCE).write_text(text)

    with pytest.raises(VersionError, match="three numbers"):
        version.read(tree)
