"""Certificates on disk are others when their content is, and not while they are on their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mljob_operator.adapters.kafka_files import Files


class Watched:
    """Files in a time of the test's own."""

    def __init__(self, *paths: Path) -> None:
        self.now = 0.0
        self._files = Files([str(path) for path in paths], every=10, clock=lambda: self.now)
        self._files.remember()

    def changed(self, after: float = 10) -> bool:
        self.now += after
        return self._files.changed()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tls.crt"
    file.write_text("one")
    return file


def test_a_change_of_content_is_told_once_and_not_before_its_time(file: Path) -> None:
    watched = Watched(file)
    assert not watched.changed()
    file.write_text("two")
    assert not watched.changed(9)
    assert watched.changed(1)
    assert not watched.changed()


def test_the_same_content_in_a_new_file_is_no_change(file: Path) -> None:
    """The kubelet makes new links for a Secret of which something else has changed."""
    watched = Watched(file)
    file.unlink()
    file.write_text("one")
    assert not watched.changed()


def test_a_file_that_is_missing_for_a_moment_is_no_change(file: Path) -> None:
    watched = Watched(file)
    file.unlink()
    assert not watched.changed()
    file.write_text("two")
    assert watched.changed()


def test_a_folder_counts_with_what_is_in_it(file: Path, tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    (tmp_path / "another.crt").write_text("more")
    assert watched.changed()


def test_without_files_nothing_changes() -> None:
    assert not Watched().changed()
