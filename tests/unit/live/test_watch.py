"""The helper that reads the changes of a watch from kubectl's output."""

from __future__ import annotations

import json
from pathlib import Path

from tests.live.kubectl import Watch


def test_each_version_is_read_once_wherever_the_file_ends(tmp_path: Path) -> None:
    objects = [{"metadata": {"name": "job"}, "status": {"message": f"cut off… {number}"}} for number in range(3)]
    written = b"".join(
        json.dumps({"type": "MODIFIED", "object": found}, indent=2, ensure_ascii=False).encode() + b"\n"
        for found in objects
    )
    for size in range(1, len(written)):
        file = tmp_path / str(size)
        file.touch()
        watch = Watch(file)
        for begin in range(0, len(written), size):
            with file.open("ab") as more:
                more.write(written[begin : begin + size])
            watch.events()
        assert [found for _, found in watch.events()] == objects
