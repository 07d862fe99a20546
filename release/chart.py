"""Writes the chart that a release publishes:
``python release/chart.py <image> <view image> <folder>``.

The published chart has the released images as defaults, so that ``helm install oci://...`` works
without building an image.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("charts", "mljob-operator")

_OPERATOR = re.compile(r'(?<=^image:\n)((?:  .*\n)*?  repository: )""$', re.MULTILINE)
_VIEW = re.compile(r'(?<=^view:\n)((?:  .*\n)*?  image:\n(?:    .*\n)*?    repository: )""$', re.MULTILINE)
_IMAGE = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
"""The form of an image's name without a tag: registry, path and name."""


class ChartError(Exception):
    """The chart can't be written. The message says why."""


def write(image: str, view: str, target: Path, root: Path = ROOT) -> None:
    """Write the chart to a new folder.

    Args:
        image: The released image of the operator, without a tag. The tag is the chart's appVersion.
        view: The released image of the view, without a tag.
        target: The new folder.
        root: The repository.

    Raises:
        ChartError: ``target`` exists. Or ``image`` or ``view`` is not the name of an image without
            a tag. Or values.yaml has no line, or several lines, for one of the images.
    """
    if target.exists():
        raise ChartError(f"{target} exists: name a new folder")
    text = (root / CHART / "values.yaml").read_text(encoding="utf-8")
    for pattern, name, path in ((_OPERATOR, image, "image"), (_VIEW, view, "view.image")):
        if not _IMAGE.fullmatch(name):
            raise ChartError(
                f"{name!r} is not the name of an image without a tag, such as registry.example.com/ml/name"
            )
        text, count = pattern.subn(rf'\g<1>"{name}"', text)
        if count != 1:
            raise ChartError(f'values.yaml has {count} lines {path}.repository: "" and must have one')
    shutil.copytree(root / CHART, target)
    (target / "values.yaml").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Write the chart, and return the exit status: 0 for success, 1 if the chart can't be written,
    2 if the number of arguments is wrong.
    """
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        write(arguments[0], arguments[1], Path(arguments[2]))
    except ChartError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
