"""The operator notices when the certificate files for Kafka change."""

from __future__ import annotations

from pathlib import Path

import pytest

from mljob_operator.adapters.kafka_files import Files


class Watched:
    def __init__(self, *paths: Path) -> None:
        self.now = 0.0
        self._files = Files([str(path) for path in paths], interval=10, clock=lambda: self.now)
        self._files.remember()

    def changed(self, after: float = 10) -> bool:
        self.now += after
        return self._files.changed()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tls.crt"
    file.write_text("one")
    return file


def test_changed_content_is_reported_once_at_the_next_check(file: Path) -> None:
    watched = Watched(file)
    assert not watched.changed()
    file.write_text("two")
    assert not watched.changed(9)
    assert watched.changed(1)
    assert not watched.changed()


def test_new_file_with_the_same_content_is_no_change(file: Path) -> None:
    # When one key of a Secret changes, the kubelet replaces all files of the volume.
    watched = Watched(file)
    file.unlink()
    file.write_text("one")
    assert not watched.changed()


def test_file_that_is_missing_temporarily_is_no_change(file: Path) -> None:
    watched = Watched(file)
    file.unlink()
    assert not watched.changed()
    file.write_text("two")
    assert watched.changed()


def test_new_file_in_a_watched_folder_is_a_change(file: Path, tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    (tmp_path / "another.crt").write_text("more")
    assert watched.changed()


def test_without_files_there_is_no_change() -> None:
    assert not Watched().changed()
