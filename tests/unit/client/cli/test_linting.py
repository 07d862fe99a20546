from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from tests.fakes.mljob_cluster import MLJobCluster, refusal
from tests.mistakes import VALID
from tests.unit.client.cli.conftest import Plugin

GOOD = yaml.safe_dump(VALID["MLJob"])
BAD = GOOD.replace("dagId", "dagID")
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs"
    (folder / "deeper").mkdir(parents=True)
    return folder


def test_good_files_have_no_mistakes(folder: Path, plugin: Plugin, cluster: MLJobCluster) -> None:
    (folder / "a.yaml").write_text(f"{GOOD}---\n{OTHER}")
    (folder / "deeper" / "b.json").write_text(
        '{"apiVersion": "mljob.dev/v1alpha1", "kind": "MLJob", "metadata": {"name": "b"}, "spec": {"dagId": "b"}}'
    )
    (folder / "readme.txt").write_text("no manifest")
    assert plugin("lint", str(folder)) == (0, "", "2 checked, 1 of other kinds skipped, 0 mistakes\n")
    assert cluster.asked == [], "without --server no cluster is asked"


def test_mistake_has_file_line_and_field(folder: Path, plugin: Plugin) -> None:
    file = folder / "a.yaml"
    file.write_text(f"# a comment\n{BAD}")
    told = plugin("lint", str(file))
    assert told.code == 1
    assert sorted(told.out.splitlines()) == [
        f"{file}:6: spec.dagId: is missing",
        f"{file}:7: spec.dagID: there is no such field (did you mean dagId?); the API server would drop it",
    ]
    assert told.err == "1 checked, 2 mistakes\n"


def test_standard_input_is_read(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    told = plugin("lint", "-")
    assert told.code == 1
    assert told.out.startswith("-:")


def test_broken_yaml_is_a_mistake_and_other_files_are_checked(folder: Path, plugin: Plugin) -> None:
    (folder / "a.yaml").write_text("a: [")
    (folder / "b.yaml").write_text(BAD)
    told = plugin("lint", str(folder))
    assert told.code == 1
    assert "a.yaml: line 2: is not YAML" in told.out
    assert "b.yaml:" in told.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(("/no/such/file.yaml",), "/no/such/file.yaml: No such file"), ((), "Missing argument 'FILE'")],
)
def test_file_that_can_not_be_read_is_a_wrong_argument(arguments: tuple[str, ...], why: str, plugin: Plugin) -> None:
    told = plugin("lint", *arguments)
    assert told.code == 64
    assert why in told.err


def test_nothing_to_check_is_no_success(folder: Path, plugin: Plugin) -> None:
    assert plugin("lint", str(folder)).code == 64
    (folder / "a.yaml").write_text(OTHER)
    told = plugin("lint", str(folder))
    assert told.code == 64
    assert "no MLJob and no AirflowInstance" in told.err


def test_server_is_asked_about_what_has_no_mistake(folder: Path, plugin: Plugin, cluster: MLJobCluster) -> None:
    (folder / "good.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)
    cluster.interfere = lambda _: refusal(422, "Invalid", "spec.dagId: \x1b[31mno")
    told = plugin("lint", "--server", str(folder))
    assert told.code == 1
    assert "good.yaml: spec.dagId: no" in told.out
    [asked] = cluster.asked
    assert (asked.method, asked.path) == ("POST", "/apis/mljob.dev/v1alpha1/namespaces/team-a/mljobs")
    assert asked.query["dryRun"] == "All"
    assert asked.query["fieldValidation"] == "Strict"


def test_stored_object_is_checked_as_if_it_were_changed(folder: Path, plugin: Plugin, cluster: MLJobCluster) -> None:
    (folder / "good.yaml").write_text(GOOD)
    cluster.put("digits")
    assert plugin("lint", "--server", str(folder)).code == 0
    assert [(asked.method, asked.query["dryRun"]) for asked in cluster.asked] == [("POST", "All"), ("PATCH", "All")]


def test_server_that_does_not_answer_is_an_error_and_no_mistake(
    folder: Path, plugin: Plugin, cluster: MLJobCluster
) -> None:
    (folder / "good.yaml").write_text(GOOD)
    cluster.interfere = lambda _: refusal(401, "Unauthorized", "Unauthorized")
    told = plugin("lint", "--server", str(folder))
    assert told.code == 4
    assert told.out == ""
