"""The Helm chart of a release contains the names of the released images."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import chart
from release.chart import CHART, ROOT, ChartError
from tests import libyaml

IMAGE, VIEW = "registry.example.com/ml/mljob-operator", "registry.example.com/ml/mljob-view"


def test_the_released_images_are_the_defaults(tmp_path: Path) -> None:
    assert chart.main([IMAGE, VIEW, str(tmp_path / "chart")]) == 0

    values = libyaml.load((tmp_path / "chart" / "values.yaml").read_text())
    assert (values["image"].pop("repository"), values["view"]["image"].pop("repository")) == (IMAGE, VIEW)
    ours = libyaml.load((ROOT / CHART / "values.yaml").read_text())
    assert (ours["image"].pop("repository"), ours["view"]["image"].pop("repository")) == ("", "")
    assert values == ours


def test_every_other_file_is_unchanged(tmp_path: Path) -> None:
    chart.write(IMAGE, VIEW, tmp_path / "chart")

    files = {path.relative_to(ROOT / CHART) for path in (ROOT / CHART).rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path / "chart") for path in (tmp_path / "chart").rglob("*") if path.is_file()}
    changed = [path for path in files if (tmp_path / "chart" / path).read_bytes() != (ROOT / CHART / path).read_bytes()]
    assert changed == [Path("values.yaml")]


@pytest.mark.parametrize("name", ["", "mljob-operator", "registry.example.com/ml/name:1.0", 'a/b"c', "a b/c", "/name"])
def test_a_name_that_is_no_image_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert chart.main([IMAGE, name, str(tmp_path / "chart")]) == 1
    assert "is not the name of an image" in capsys.readouterr().err
    assert not (tmp_path / "chart").exists()


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match="exists: name a new folder"):
        chart.write(IMAGE, VIEW, tmp_path)


def test_without_arguments_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert chart.main([]) == 2
    assert "<image> <view image> <folder>" in capsys.readouterr().err


def test_values_without_the_line_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / CHART
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text("image: {}\n")

    with pytest.raises(ChartError, match=r"has 0 lines image\.repository"):
        chart.write(IMAGE, VIEW, tmp_path / "chart", tmp_path)
