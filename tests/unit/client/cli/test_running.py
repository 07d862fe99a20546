"""The commands `run`, `sweep` and `compare` of `kubectl mljob`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.mljob_cluster import Asked, MLJobCluster, refusal
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import failed, running, succeeded


def test_run_creates_an_mljob(cluster: MLJobCluster, plugin: Plugin, tmp_path: Path) -> None:
    conf = tmp_path / "conf.yaml"
    conf.write_text("epochs: 5\noptimizer: {name: adam, lr: 0.1}\n")
    told = plugin(
        *("run", "train_model", "--name=digits", f"--conf={conf}", "--set", "epochs=20", "--set", "optimizer.lr=0.01"),
        *("--type=Training", "--retries=2", "--airflow=prod", "--label", "team=vision"),
        *("--from", "configmap/defaults", "--from", "secret/token", "--from", "mljob/data:rows,path"),
    )
    assert (told.code, told.out) == (0, "mljob.mljob.dev/digits created\n")
    assert told.err == "Follow it: kubectl mljob watch digits\n"
    created = cluster.get("digits")
    assert created["metadata"]["labels"] == {"team": "vision"}
    assert created["spec"] == {
        "dagId": "train_model",
        "type": "Training",
        "conf": {"epochs": 20, "optimizer": {"name": "adam", "lr": 0.01}},
        "confFrom": [
            {"configMapRef": {"name": "defaults"}},
            {"secretRef": {"name": "token"}},
            {"outputsRef": {"name": "data", "keys": ["rows", "path"]}},
        ],
        "airflowRef": {"name": "prod"},
        "backoffLimit": 2,
    }


@pytest.mark.parametrize(
    ("key", "conf"),
    [
        ("a.b", {"a": {"b": 1}}),
        (r"a\.b", {"a.b": 1}),
        (r"a\..b", {"a.": {"b": 1}}),
        (r"a\.", {"a.": 1}),
        (r"a\\.b", {"a\\": {"b": 1}}),
        (r"a\b", {r"a\b": 1}),
    ],
)
def test_dot_after_a_backslash_is_part_of_a_key(
    key: str, conf: dict[str, Any], cluster: MLJobCluster, plugin: Plugin
) -> None:
    assert plugin("run", "train", "--name=digits", "--set", f"{key}=1").code == 0
    assert cluster.get("digits")["spec"]["conf"] == conf


@pytest.mark.parametrize("key", ["a.", ".a", "a..b", ".", ""])
def test_key_with_an_empty_part_is_refused(key: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    assert plugin("run", "train", "--name=digits", "--set", f"{key}=1").code == 64
    assert not cluster.all()


@pytest.mark.parametrize(("option", "ending", "code"), [("--wait", succeeded, 0), ("--watch", failed, 1)])
def test_run_that_waits_has_the_code_of_the_end(
    option: str, ending: Any, code: int, cluster: MLJobCluster, plugin: Plugin
) -> None:
    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            cluster.put("digits", status=ending())

    cluster.interfere = operator
    assert plugin("run", "train", "--name=digits", option).code == code


def test_run_that_waits_says_at_once_that_the_dag_does_not_exist(cluster: MLJobCluster, plugin: Plugin) -> None:
    unknown = "Airflow knows no DAG 'train_modle'. Did you mean train_model?"
    statuses = [running(phase="Pending", reason="DagNotFound", message=unknown), succeeded()]

    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            while statuses:
                cluster.put("typo", status=statuses.pop(0))

    cluster.interfere = operator
    told = plugin("run", "train_modle", "--name=typo", "--wait")
    assert (told.code, told.err) == (0, f"MLJob typo waits: {unknown}\n")


def test_name_is_made_of_the_dag_and_a_suffix(cluster: MLJobCluster, plugin: Plugin) -> None:
    names = [plugin("run", "train_model", "-o", "name").out for _ in range(2)]
    assert all(name.startswith("mljob.mljob.dev/train-model-") for name in names)
    assert names[0] != names[1]


def test_existing_name_is_an_error(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits")
    told = plugin("run", "train", "--name=digits")
    assert told.code == 4
    assert 'mljobs.mljob.dev "digits" already exists' in told.err


def test_dry_run_asks_the_api_server_and_prints_what_it_would_store(cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin("run", "train", "--name=digits", "--set=epochs=3", "--dry-run")
    assert yaml.safe_load(told.out)["spec"] == {"dagId": "train", "conf": {"epochs": 3}}
    assert cluster.asked[-1].query == {"dryRun": "All", "fieldValidation": "Strict"}
    cluster.interfere = lambda _: refusal(422, "Invalid", "spec.dagId: Invalid value")
    assert plugin("run", "train", "--name=again", "--dry-run").code == 4


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("a=1", {"a": 1}),
        ("a=1.5", {"a": 1.5}),
        ("a=true", {"a": True}),
        ("a=null", {"a": None}),
        ("a='1'", {"a": "1"}),
        ("a=no", {"a": False}),
        ('a="no"', {"a": "no"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=2026-01-01", {"a": "2026-01-01"}),
        ("a=123e4567", {"a": "123e4567"}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ('a={"b": 1}', {"a": {"b": 1}}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        (r"a\.b=1", {"a.b": 1}),
        ("ä=ü", {"ä": "ü"}),
    ],
)
def test_value_of_set_is_yaml(given: str, value: Any, cluster: MLJobCluster, plugin: Plugin) -> None:
    assert plugin("run", "train", "--name=digits", "--set", given).code == 0
    assert cluster.get("digits")["spec"]["conf"] == value


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--set", "epochs"), "'epochs' is not KEY=VALUE"),
        (("--set", "=1"), "'=1' is not KEY=VALUE"),
        (("--set", "a..b=1"), "'a..b' is not a key"),
        (("--set", "a=1", "--set", "a.b=2"), "'a.b' contradicts an earlier value of 'a'"),
        (("--set", "a.b=1", "--set", "a=2"), "'a' contradicts earlier values below it"),
        (("--set", "a=[1"), "a: line 2: is not YAML"),
        (("--set", "a=.nan"), "no number in JSON"),
        (("--set", "a=" + "x" * 70_000), "more than 65536 characters"),
        (("--set", "a=" + "[" * 100), "nested deeper"),
        (("--conf", "/no/such/file"), "/no/such/file: No such file or directory"),
        (("--from", "pod/x"), "'pod/x' is not configmap/NAME"),
        (("--from", "configmap/x:key"), "is not configmap/NAME"),
        (("--label", "team"), "'team' is not KEY=VALUE"),
        (("--retries", "-1"), "greater than or equal to 0"),
        (("--timeout", "soon"), "'soon' is not a duration"),
        (("--name", "Bad_Name"), "'Bad_Name' is not a name of lower-case letters"),
        (("--name", "a..b"), "'a..b' is not a name of lower-case letters"),
        (("--name", "a.-b"), "'a.-b' is not a name of lower-case letters"),
        (("--name", "Bad_Name", "--dry-run"), "For example: 'bad-name'"),
        (("--type", ""), "type"),
        (("--type", "X"), "'X'"),
    ],
)
def test_wrong_option_is_named_and_nothing_is_created(
    arguments: tuple[str, ...], why: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    told = plugin("run", "train", "--name=digits", *arguments)
    assert told.code == 64
    assert why in told.err
    assert cluster.count("POST") == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [("[1]", "holds no object"), ("a: 1\n---\nb: 2", "more than one YAML document"), ("\udcff", "not UTF-8")],
)
def test_file_that_is_no_conf_is_refused(
    content: str, why: str, cluster: MLJobCluster, plugin: Plugin, tmp_path: Path
) -> None:
    file = tmp_path / "conf.yaml"
    file.write_text(content, errors="surrogateescape")
    told = plugin("run", "train", f"--conf={file}")
    assert told.code == 64
    assert why in told.err
    assert cluster.count("POST") == 0


def test_sweep_creates_an_mljob_for_each_point(cluster: MLJobCluster, plugin: Plugin) -> None:
    arguments = (
        "sweep",
        "train",
        "--name=lr",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "layers=[[64], [64, 32]]",
        "--set=epochs=3",
    )
    told = plugin(*arguments)
    assert told.code == 0
    lines = told.out.splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "lr=0.1 layers=[64]",
        "lr=0.1 layers=[64, 32]",
        "lr=0.01 layers=[64]",
        "lr=0.01 layers=[64, 32]",
    ]
    assert "kubectl mljob compare -l mljob.dev/sweep=lr" in told.err
    first = cluster.get(lines[0].split()[0].removeprefix("mljob.mljob.dev/"))
    assert first["spec"]["conf"] == {"epochs": 3, "lr": 0.1, "layers": [64]}
    assert first["metadata"]["labels"] == {"mljob.dev/sweep": "lr"}
    assert plugin(*arguments).out == told.out, "the same sweep again creates nothing"


@pytest.mark.parametrize(("grid", "values"), [("a=yes,no", [True, False]), ('a="yes","no"', ["yes", "no"])])
def test_quoted_value_of_a_grid_is_a_text(grid: str, values: list[Any], cluster: MLJobCluster, plugin: Plugin) -> None:
    assert plugin("sweep", "train", "--name=a", "--grid", grid).code == 0
    assert sorted(str(each["spec"]["conf"]["a"]) for each in cluster.all()) == sorted(map(str, values))


def test_wait_for_a_sweep_watches_only_the_sweep(cluster: MLJobCluster, plugin: Plugin) -> None:
    watched: list[str | None] = []

    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            watched.append(asked.query.get("labelSelector"))
            for item in cluster.all():
                cluster.put(item["metadata"]["name"], status=succeeded())

    cluster.interfere = operator
    told = plugin("sweep", "train", "--name=lr", "--grid=lr=0.1,0.01", "--wait")
    assert (told.code, watched) == (0, ["mljob.dev/sweep=lr"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "train", "--wait"),
        ("run", "train", "--watch"),
        ("sweep", "train", "--name=lr", "--grid=lr=0.1,0.01", "--wait"),
    ],
)
def test_only_objects_are_on_stdout_if_the_command_prints_objects(
    arguments: tuple[str, ...], cluster: MLJobCluster, plugin: Plugin
) -> None:
    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            for item in cluster.all():
                cluster.put(item["metadata"]["name"], status=succeeded())

    cluster.interfere = operator
    told = plugin(*arguments, "-o", "json")
    assert told.code == 0
    assert json.loads(told.out)["apiVersion"]
    assert "Succeeded" in told.err


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_empty_name_of_a_new_mljob_is_refused(dry_run: tuple[str, ...], plugin: Plugin) -> None:
    told = plugin("run", "train", "--name=", *dry_run)
    assert (told.code, told.out) == (64, "")
    assert "name: '' is not a name" in told.err


def test_list_says_which_values_an_mljob_of_a_sweep_has(cluster: MLJobCluster, plugin: Plugin) -> None:
    plugin("sweep", "train", "--name=lr", "--grid", "lr=0.1,0.01", "--grid", "layers=[[64]]")
    cluster.put("alone", status=running())
    title, *lines = plugin("list").out.splitlines()
    assert title.split("  ")[:1] == ["NAME"]
    assert "  SWEEP POINT  " in title
    points = [line[title.index("SWEEP POINT") : title.index("PHASE")].strip() for line in lines]
    assert sorted(points) == ["", "lr=0.01 layers=[64]", "lr=0.1 layers=[64]"]


def test_sweep_that_only_shows_creates_nothing(cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin("sweep", "train", "--name=lr", "--grid=lr=0.1,0.01", "--dry-run")
    assert [line.split("  ")[1] for line in told.out.splitlines()] == ["lr=0.1", "lr=0.01"]
    assert cluster.asked == []


def test_names_of_a_sweep_are_shown_without_a_kubeconfig(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    told = plugin("sweep", "train", "--name=lr", "--grid=lr=0.1,0.01", "--dry-run")
    assert (told.code, len(told.out.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--name=lr", "--grid=a=1", "--grid=a=2"), 64, "'a' is there twice"),
        (("--name=lr", "--grid=a"), 64, "'a' is not KEY=VALUE"),
        (("--name=lr", "--grid=a=1,1"), 64, "twice"),
        (("--name=lr", "--grid=a=" + ",".join(map(str, range(501)))), 64, "at most 500"),
        (("--name=L_r", "--grid=a=1"), 64, "'L_r'"),
    ],
)
def test_wrong_grid_creates_nothing(
    arguments: tuple[str, ...], code: int, why: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    told = plugin("sweep", "train", *arguments)
    assert told.code == code
    assert why in told.err
    assert cluster.count("POST") == 0


def test_grid_takes_a_key_with_an_escaped_dot(cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin("sweep", "train", "--name=lr", "--grid", r"optimizer\.lr=0.1,0.01")
    assert told.code == 0
    assert [job["spec"]["conf"] for job in cluster.all()] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.01}]
    assert told.out.splitlines()[0].endswith("  optimizer.lr=0.1")


def test_grid_varies_a_value_inside_an_object_as_its_error_says(cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin("sweep", "train", "--name=lr", "--grid", "optimizer.lr=0.1,0.01")
    assert told.code == 64
    assert "--grid: 'optimizer.lr' is not a top-level key of the conf." in told.err
    assert r"write 'optimizer\.lr'" in told.err
    assert "--grid 'optimizer=[{lr: VALUE1}, {lr: VALUE2}]'" in told.err
    assert cluster.asked == []
    assert plugin("sweep", "train", "--name=lr", "--grid", "optimizer=[{lr: 0.1}, {lr: 0.01}]").code == 0
    assert [job["spec"]["conf"] for job in cluster.all()] == [{"optimizer": {"lr": 0.1}}, {"optimizer": {"lr": 0.01}}]


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["real", "dry run"])
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--name=L_r",), "'L_r'"),
        (("--name=lr", "--set", "epochs"), "'epochs' is not KEY=VALUE"),
        (("--name=lr", "--conf", "/no/such/file"), "/no/such/file: No such file or directory"),
        (("--name=lr", "--from", "pod/x"), "'pod/x' is not configmap/NAME"),
        (("--name=lr", "--label", "team"), "'team' is not KEY=VALUE"),
        (("--name=lr", "--type", "X"), "'X'"),
        (("--name=lr", "--grid=b=1,1"), "twice"),
    ],
)
def test_wrong_option_of_a_sweep_is_named_also_in_a_dry_run(
    arguments: tuple[str, ...], why: str, dry_run: tuple[str, ...], cluster: MLJobCluster, plugin: Plugin
) -> None:
    told = plugin("sweep", "train", "--grid=lr=0.1,0.01", *arguments, *dry_run)
    assert (told.code, told.out) == (64, "")
    assert why in told.err
    assert cluster.asked == []


def test_sweep_that_only_shows_prints_the_objects_that_the_sweep_creates(cluster: MLJobCluster, plugin: Plugin) -> None:
    arguments = ("sweep", "train", "--name=lr", "--grid=lr=0.1,0.01", "--set=epochs=3", "--label=team=vision")
    names = plugin(*arguments, "--dry-run", "-o", "name").out
    shown = json.loads(plugin(*arguments, "--dry-run", "-o", "json").out)["items"]
    assert cluster.asked == []
    assert plugin(*arguments, "-o", "name").out == names
    for planned, created in zip(shown, cluster.all(), strict=True):
        assert planned["spec"] == created["spec"]
        assert planned["metadata"]["name"] == created["metadata"]["name"]
        assert planned["metadata"]["labels"] == created["metadata"]["labels"]


def results(cluster: MLJobCluster) -> None:
    for epochs, accuracy in ((5, 0.91), (20, 0.98), (10, 0.95)):
        name = f"digits-{epochs}"
        cluster.put(name, status=succeeded(outputs={"accuracy": accuracy}), labels={"team": "vision"})
        cluster.patch(name, {"spec": {"conf": {"epochs": epochs, "model_id": "digits"}}})
    cluster.put("digits-1", status=running(), labels={"team": "vision"})


def test_compare_shows_what_differs_best_first(cluster: MLJobCluster, plugin: Plugin) -> None:
    results(cluster)
    told = plugin("compare", "-l", "team=vision")
    assert [line.split() for line in told.out.splitlines()] == [
        ["NAME", "PHASE", "epochs", "model_id", "accuracy*"],
        ["*", "digits-20", "Succeeded", "20", "digits", "0.98"],
        ["digits-10", "Succeeded", "10", "digits", "0.95"],
        ["digits-5", "Succeeded", "5", "digits", "0.91"],
        ["digits-1", "Running"],
    ]
    worst_first = plugin("compare", "digits-5", "digits-20", "--by=accuracy", "--less-is-better")
    assert [line.split()[0] for line in worst_first.out.splitlines()] == ["NAME", "*", "digits-20"]


def test_compare_prints_rows_as_json_and_names(cluster: MLJobCluster, plugin: Plugin) -> None:
    results(cluster)
    rows = json.loads(plugin("compare", "digits-5", "digits-10", "-o", "json").out)
    assert rows == [
        {"name": "digits-10", "phase": "Succeeded", "epochs": 10, "accuracy": 0.95},
        {"name": "digits-5", "phase": "Succeeded", "epochs": 5, "accuracy": 0.91},
    ]
    assert plugin("compare", "digits-5", "digits-10", "-o", "name").out.split()[0] == "mljob.mljob.dev/digits-10"


def test_compare_of_no_mljobs_says_so_as_kubectl_get_does(plugin: Plugin) -> None:
    told = plugin("compare", "-l", "team=nobody", "--by=f1")
    assert told == (0, "", "No MLJob in namespace team-a has the labels team=nobody.\n")


def test_compare_by_a_result_that_no_mljob_has_names_those_there_are(cluster: MLJobCluster, plugin: Plugin) -> None:
    results(cluster)
    told = plugin("compare", "-l", "team=vision", "--by=f1")
    assert told.code == 4
    assert told.err == "Error: No MLJob has a number 'f1'. There are: accuracy.\n"


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_columns_that_a_comparison_leaves_out_are_printed_as_objects(
    output: str, load: Any, cluster: MLJobCluster, plugin: Plugin
) -> None:
    for index, name in enumerate(("a", "b")):
        cluster.put(name, status=succeeded(outputs={f"m{number}": number + index for number in range(80)}))
    told = plugin("compare", "a", "b")
    assert told.err == "30 more columns are left out; -o json has them.\n"
    told = plugin("compare", "a", "b", "-o", output)
    assert told.err == ""
    assert [len(row) for row in load(told.out)] == [82, 82]
