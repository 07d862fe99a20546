from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from mljob.cli.pages import change_line
from tests.fakes.mljob_cluster import Asked, MLJobCluster, refusal
from tests.hostile import TEXTS
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import failed, running, succeeded

HOSTILE = [
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[H",
    "\u202egnp.exe",
    "in\u200bvisible\ufff9",
    "a\nb\tc",
    "\x00\x07\x9b31m",
    "<script>",
    "[bold]x[/bold]",
    "ä" * 5000,
]


def test_each_mljob_has_one_line_without_a_terminal(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("well", status=running(reason="TaskRunning", message="Task fit is running.", currentTask="fit"))
    cluster.put("badly", status=failed())
    told = plugin("list")
    title, *lines = told.out.splitlines()
    assert title.split() == ["NAME", "PHASE", "PROGRESS", "AGE", "NOW", "MESSAGE"]
    assert [line.split()[0] for line in lines] == ["badly", "well"]
    assert "✘ Failed" in lines[0]
    assert lines[0].endswith("Task fit failed: ValueError: no data")
    assert "▶ Running" in lines[1]
    assert "Task fit is running." not in lines[1]


def test_metrics_are_those_of_the_running_task(cluster: MLJobCluster, plugin: Plugin) -> None:
    tasks = [
        {"taskId": "load", "state": "success", "metrics": {"rows": 1797.0}},
        {"taskId": "fit", "state": "running", "metrics": {"loss": 0.123456, "epoch": 9.0}},
    ]
    cluster.put("digits", status=running(reason="TaskRunning", currentTask="fit", tasks=tasks))
    assert "loss 0.1235  epoch 9" in plugin("list").out


def test_mapped_task_is_folded(cluster: MLJobCluster, plugin: Plugin) -> None:
    mapped = {"total": 40, "states": {"success": 11, "skipped": 1, "running": 8, "none": 20}}
    tasks = [{"taskId": "score", "state": "running", "mapped": mapped}]
    cluster.put("digits", status=running(reason="TaskRunning", currentTask="score", tasks=tasks))
    assert "score 12/40" in plugin("list").out


def test_all_namespaces_shows_the_namespace(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("a", status=succeeded())
    cluster.put("b", "team-b", status=succeeded())
    assert [line.split()[:2] for line in plugin("list", "-A").out.splitlines()] == [
        ["NAMESPACE", "NAME"],
        ["team-a", "a"],
        ["team-b", "b"],
    ]
    assert "b" not in [line.split()[0] for line in plugin("list").out.splitlines()]


def test_filters_are_those_of_the_api_server(cluster: MLJobCluster, plugin: Plugin) -> None:
    plugin("list", "-l", "team=vision", "--phase", "failed", "--type=Training", "--dag", "a,b=c")
    asked = cluster.asked[-1].query
    assert asked["labelSelector"] == "team=vision"
    assert asked["fieldSelector"] == r"status.phase=Failed,spec.type=Training,spec.dagId=a\,b\=c"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--phase", "Failedd"), "--phase: 'Failedd' is none of Pending, "),
        (("--phase", "Failedd"), "(did you mean Failed?)"),
        (("--type", "trainingg"), "--type: 'trainingg' is none of Training, "),
        (("--type", "trainingg"), "(did you mean Training?)"),
    ],
)
def test_filter_that_no_mljob_can_match_is_an_error(
    arguments: tuple[str, ...], says: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    told = plugin("list", *arguments)
    assert told.code == 64
    assert says in told.err
    assert cluster.asked == []


def test_message_in_a_pipe_is_whole(cluster: MLJobCluster, plugin: Plugin) -> None:
    message = f"Task fit failed: {'x' * 1006}!"
    assert len(message) == 1024, "the longest message of a status"
    cluster.put("digits", status=failed(message=message))
    assert message in plugin("list").out
    assert message in plugin("wait", "digits").out
    cluster.patch("digits", {"metadata": {"annotations": {"mljob.dev/retry-requested-at": "1"}}})
    assert message in plugin("list").out


def test_filter_takes_any_case(cluster: MLJobCluster, plugin: Plugin) -> None:
    plugin("list", "--type", "datasetgeneration")
    assert cluster.asked[-1].query["fieldSelector"] == "spec.type=DatasetGeneration"


def test_empty_list_says_what_to_do(plugin: Plugin) -> None:
    told = plugin("list")
    assert (told.code, told.out) == (0, "")
    assert told.err == "There are no MLJobs in namespace team-a. Start one: kubectl mljob run DAG_ID\n"
    told = plugin("list", "-n", "nowhere")
    assert told.err == "There are no MLJobs in namespace nowhere. Start one: kubectl mljob run DAG_ID -n nowhere\n"
    assert plugin("list", "-A", "-l", "a=b").err == "No MLJob matches in any namespace.\n"


def test_json_is_a_list_as_kubectl_prints_it(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=succeeded(), managedFields=[{"manager": "kubectl"}])
    found = json.loads(plugin("list", "-o", "json").out)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    [item] = found["items"]
    assert (item["kind"], item["metadata"]["name"]) == ("MLJob", "digits")
    assert "managedFields" not in item["metadata"]
    assert yaml.safe_load(plugin("list", "-o", "yaml").out) == found
    assert plugin("list", "-o", "name").out == "mljob.mljob.dev/digits\n"


@pytest.mark.parametrize("output", ["json", "yaml", "name"])
def test_watch_and_output_exclude_each_other(output: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin("list", "--watch", "-o", output)
    assert (told.code, told.out) == (64, "")
    assert f"--output: {output!r} prints the MLJobs once, so it can't be used with --watch" in told.err
    assert f"kubectl get mljobs --watch -o {output}" in told.err
    assert cluster.asked == []


@pytest.mark.parametrize("levels", [190, 400, 600])
def test_deeply_nested_conf_is_null_below_200_levels(levels: int, cluster: MLJobCluster, plugin: Plugin) -> None:
    deep: Any = "end"
    for _ in range(levels):
        deep = [deep]
    cluster.put("digits", status=running())
    cluster.patch("digits", {"spec": {"conf": {"deep": deep}}})
    # Five levels are around the value: the List, its items, the MLJob, its spec and its conf.
    kept, end = (levels, "end") if levels < 195 else (195, None)

    told = plugin("list", "-o", "json")
    value = json.loads(told.out)["items"][0]["spec"]["conf"]["deep"]
    for _ in range(kept):
        [value] = value
    assert value == end
    told = plugin("list", "-o", "yaml")
    assert (told.code, told.err) == (0, "")
    assert f" {'- ' * kept}{end or 'null'}\n" in told.out


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("output", [(), ("-o", "json"), ("-o", "yaml")])
def test_hostile_texts_are_harmless_on_a_terminal(
    text: str, output: tuple[str, ...], cluster: MLJobCluster, plugin: Plugin
) -> None:
    tasks = [{"taskId": text, "state": text, "metrics": {text: 1.0}, "error": {"type": text, "message": text}}]
    cluster.put("digits", status=failed(reason=text, message=text, currentTask=text, tasks=tasks, progress=text))
    told = plugin("list", *output)
    assert told.code == 0
    assert not [character for character in told.out if not character.isprintable() and character != "\n"]
    if output:
        read = json.loads if output[1] == "json" else yaml.safe_load
        assert read(told.out)["items"][0]["status"]["message"] == text
    else:
        assert len(told.out.splitlines()) == 2
        assert max(map(len, told.out.splitlines())) < 1_500


@pytest.mark.parametrize("value", [*TEXTS, None, -1, 1.5, True])
def test_object_of_another_version_is_shown_as_far_as_possible(
    value: Any, cluster: MLJobCluster, plugin: Plugin
) -> None:
    fields = ("reason", "message", "progress", "percent", "currentTask", "tasks", "startTime", "attempts", "outputs")
    cluster.put("digits", status={"phase": "Running", **dict.fromkeys(fields, value)})
    told = plugin("list")
    assert told.code == 0
    assert "digits" in told.out
    assert plugin("why", "digits").code == 0
    assert plugin("tree", "digits").code == 0


def test_missing_right_is_named(cluster: MLJobCluster, plugin: Plugin) -> None:
    message = 'mljobs.mljob.dev is forbidden: User "eve" cannot list resource "mljobs" in API group "mljob.dev" in the namespace "team-a"'
    cluster.interfere = lambda _: refusal(403, "Forbidden", message)
    told = plugin("list")
    assert (told.code, told.out) == (4, "")
    assert message in told.err
    assert "-viewer" in told.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "deleted"),
        (("--phase", "Running"), "deleted, or no longer matches"),
        (("-l", "team=vision"), "deleted, or no longer matches"),
    ],
)
def test_mljob_that_may_only_have_left_a_filtered_list_is_not_said_to_be_deleted(
    options: tuple[str, ...], said: str, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interfere(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            cluster.interfere = lambda _: None
            cluster.remove("a")
            cluster.put("last", status=running(), labels={"team": "vision"})

    def line(job: Any, *rest: Any) -> Any:
        if job.name == "last":
            raise KeyboardInterrupt
        return change_line(job, *rest)

    monkeypatch.setattr("mljob.cli.live_list.change_line", line)
    cluster.put("a", status=running(), labels={"team": "vision"})
    cluster.interfere = interfere
    assert plugin("list", "--watch", *options).out.splitlines()[-1].endswith(f"s  {said}")


def test_watched_list_prints_changes_until_it_is_interrupted(
    cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        lambda: cluster.put("b", status=running()),
        lambda: cluster.put("a", status=succeeded()),
        lambda: cluster.remove("b"),
        lambda: cluster.put("last", status=succeeded()),
    ]

    def interfere(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            while changes:
                changes.pop(0)()

    def line(job: Any, *rest: Any) -> Any:
        if job.name == "last":
            raise KeyboardInterrupt
        return change_line(job, *rest)

    monkeypatch.setattr("mljob.cli.live_list.change_line", line)
    cluster.put("a", status=running())
    cluster.interfere = interfere
    told = plugin("list", "--watch")
    assert told.code == 130
    words = [line.split() for line in told.out.splitlines()]
    assert [(line[0], line[-1] if line[-1] == "deleted" else line[3]) for line in words] == [
        ("a", "Running"),
        ("b", "Running"),
        ("a", "Succeeded"),
        ("b", "deleted"),
    ]
