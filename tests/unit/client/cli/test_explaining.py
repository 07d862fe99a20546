"""The commands `why`, `logs`, `tree` and `open` of `kubectl mljob`."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mljob.render.explanation import explain
from mljob.resource import MLJob
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import cancelled, condition, failed, running, stalled, succeeded

URL = "https://airflow.example.com/dags/train/runs/x"


TRACEBACK = [
    "2026-01-01T00:00:00.000Z ERROR   Task failed with exception",
    "Traceback (most recent call last):",
    '  File "/dags/train.py", line 7, in fit',
    "ValueError: no data",
]


def serve_log(cluster: MLJobCluster, lines: list[str], name: str = "digits") -> list[Asked]:
    """Let the fake cluster answer each request for a log of the MLJob ``name`` with ``lines``.
    Return a list, to which the fake cluster adds these requests.
    """
    asked: list[Asked] = []

    def log(request: Asked) -> Answer:
        asked.append(request)
        tail = int(request.query.get("tail", len(lines)))
        return Answer(200, "".join(f"{line}\n" for line in lines[-tail:]).encode(), {"Content-Type": "text/plain"})

    cluster.runs[f"team-a/{name}/log"] = log
    return asked


def test_why_of_a_failure_has_the_task_its_error_its_log_and_the_way_out(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed(dagRunUrl=URL, attempts=2, startTime="2026-01-01T00:00:00Z"))
    asked = serve_log(cluster, [f"line {number}" for number in range(100)])
    told = plugin("why", "digits", "-n", "team-a")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0] == "digits  ✘ Failed  (TaskFailed)"
    assert "Task fit failed: ValueError: no data" in lines[1]
    assert "  fit  ✘ failed" in told.out
    assert "    ValueError: no data" in lines
    assert [line for line in lines if line.startswith("  | ")] == [f"  | line {number}" for number in range(80, 100)]
    assert f"  Run      {URL}" in lines
    assert lines[-1] == "  kubectl mljob retry digits -n team-a"
    assert asked[0].query == {"task": "fit", "tail": "1000"}


def test_why_of_a_mapped_task_reads_the_log_of_the_failed_instance(cluster: MLJobCluster, plugin: Plugin) -> None:
    mapped = {"total": 40, "states": {"success": 30, "failed": 2, "none": 8}, "failedIndexes": [7, 9]}
    task = {"taskId": "score", "state": "failed", "mapped": mapped, "error": {"message": "boom"}}
    cluster.put("digits", status=failed(currentTask="score", tasks=[task]))
    asked = serve_log(cluster, ["the end"])
    told = plugin("why", "digits", "--tail=5")
    assert "score 30/40  ✘ failed  2 failed (7, 9)" in told.out
    assert asked[0].query == {"task": "score", "mapIndex": "7", "tail": "1000"}


def test_why_shows_the_traceback_and_not_the_noise_after_it(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    at = "2026-01-01T00:00:00.000Z ERROR  "
    noise = [f"{at} cleaned up {number}" for number in range(500)]
    serve_log(cluster, [*TRACEBACK, *noise])
    told = plugin("why", "digits", "--tail=4")
    assert "The 4 lines of its log up to the error, before 500 others:" in told.out
    assert [line for line in told.out.splitlines() if line.startswith("  | ")] == [f"  | {line}" for line in TRACEBACK]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (None, "api.enabled=true"),
        (refusal(403, "Forbidden", 'cannot get resource "mljobs/log"'), 'cannot get resource "mljobs/log"'),
        (refusal(503, "ServiceUnavailable", "Airflow does not answer"), "Airflow does not answer"),
    ],
    ids=["not installed", "forbidden", "no Airflow"],
)
def test_why_without_a_log_says_the_reason_and_all_the_rest(
    answer: Answer | None, what: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    task = {**failed()["tasks"][0], "logUrl": f"{URL}/tasks/fit"}
    cluster.put("digits", status=failed(tasks=[task]))
    if answer is not None:
        cluster.runs["team-a/digits/log"] = lambda _: answer
    told = plugin("why", "digits")
    assert told.code == 0
    assert what in told.out
    assert f"The log in Airflow: {URL}/tasks/fit" in told.out
    assert "ValueError: no data" in told.out
    assert "kubectl mljob retry digits" in told.out


WAYS_OUT = [
    (stalled(), "kubectl edit mljob digits"),
    (cancelled(), "create an MLJob with another name"),
    ({**running(), "phase": "Suspended", "reason": "Suspended"}, "kubectl mljob resume digits"),
    ({**running(), "phase": "Pending", "reason": "WaitingForMLJob"}, "kubectl mljob why upstream"),
    ({**running(), "phase": "Pending", "reason": "DependencyFailed"}, "kubectl mljob why upstream"),
    ({**running(), "phase": "Pending", "reason": "WaitingForMLJob"}, "kubectl edit mljob digits"),
    ({**running(), "phase": "Pending", "reason": "DependencyFailed"}, "kubectl edit mljob digits"),
    ({**running(), "phase": "Pending", "reason": "DagNotFound"}, "spec.dagId"),
    ({**running(), "phase": "Pending", "reason": "NoDefaultAirflow"}, "kubectl get airflowinstances"),
    ({**running(), "reason": "DagPaused"}, "Unpause the DAG"),
    (
        {
            **running(),
            "reason": "AwaitingInput",
            "tasks": [{"taskId": "ask", "state": "awaiting_input", "input": {"url": URL}}],
        },
        f"Answer on {URL}",
    ),
    (
        {
            **succeeded(),
            "reason": "Succeeded",
            "conditions": [
                *succeeded()["conditions"],
                {**condition("UnknownParams", "True"), "message": "epoch: did you mean epochs?"},
            ],
        },
        "create an MLJob with another name, or delete this one and apply it corrected",
    ),
]


@pytest.mark.parametrize("status", [status for status, _ in WAYS_OUT], ids=[str(s["reason"]) for s, _ in WAYS_OUT])
def test_suggested_commands_select_the_cluster_of_the_call(status: dict[str, Any], cluster: MLJobCluster) -> None:
    cluster.put("digits", status=status)
    shown = explain(MLJob(cluster.get("digits")), datetime.now(UTC), "-n team-a --context prod")
    assert all(way.command.endswith(" -n team-a --context prod") for way in shown.ways_out if way.command)


@pytest.mark.parametrize(("status", "way"), WAYS_OUT, ids=[str(status["reason"]) for status, _ in WAYS_OUT])
def test_why_ends_with_the_way_out(status: dict[str, Any], way: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=status)
    cluster.patch("digits", {"spec": {"confFrom": [{"outputsRef": {"name": "upstream"}}]}})
    assert way in plugin("why", "digits").out.split("\n\n", 1)[1]


@pytest.mark.parametrize(
    ("spec", "may_edit"),
    [
        ({}, False),
        ({"runPolicy": "Once"}, False),
        ({"runPolicy": "OnChange"}, True),
        ({"runPolicy": "OncePerSpec"}, True),
        ({"runPolicy": "OnChange", "cancel": True}, False),
    ],
)
def test_unknown_params_are_corrected_by_an_edit_only_if_the_edit_runs(
    spec: dict[str, Any], may_edit: bool, cluster: MLJobCluster
) -> None:
    cluster.put("digits", status=running(reason="Running", conditions=[condition("UnknownParams", "True")]))
    cluster.patch("digits", {"spec": spec})
    [way] = explain(MLJob(cluster.get("digits")), datetime.now(UTC)).ways_out
    assert way.command == ("kubectl edit mljob digits" if may_edit else "")
    assert ("delete this one" in way.text) is not may_edit


_OF_THE_MLJOB = [
    "The conf does not fit the params of DAG 'train': spec.conf.epochs: 'many' is not of type 'integer'. "
    "The operator tries again every few minutes, and at once when the spec or an object of spec.confFrom changes.",
    "spec.backfill is required for type Backfill, and allowed only for that type. Correct the spec to run the MLJob.",
    "spec.confFrom.0.optional: Input should be a valid boolean, not 'yes'. Correct the spec to run the MLJob.",
    "DAG 'mljob_cancel' is reserved for the platform: no MLJob may run it. To run something else, set spec.dagId to another DAG.",
]
_OF_OTHERS = [
    "No access rule of AirflowInstance prod lets namespace team-a (labels: none) run DAG 'train'. "
    "The rule that is missing in its spec.access: {dags: [train]}",
    "The conf does not fit the params of DAG 'train': spec.confFrom[0] (ConfigMap params).epochs: '3' is not of type 'integer'. "
    "The operator tries again every few minutes, and at once when the spec or an object of spec.confFrom changes.",
    "Run x is not in Airflow any more, so its conf is not known, and runPolicy Once refuses the changed spec. "
    "Create an MLJob with another name.",
]


@pytest.mark.parametrize(
    ("message", "command"),
    [*((each, "kubectl edit mljob digits") for each in _OF_THE_MLJOB), *((each, "") for each in _OF_OTHERS)],
)
def test_refused_mljob_is_edited_only_if_its_own_spec_has_the_error(
    message: str, command: str, cluster: MLJobCluster
) -> None:
    cluster.put("digits", status=stalled(message=message))
    [way] = explain(MLJob(cluster.get("digits")), datetime.now(UTC)).ways_out
    assert way.command == command
    assert ("do what the message says" in way.text) is not bool(command)


def test_why_of_an_mljob_that_is_all_right_offers_nothing(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=succeeded(reason="Succeeded", message="The run succeeded."))
    told = plugin("why", "digits")
    assert told.out.splitlines()[:2] == ["digits  ✔ Succeeded", "The run succeeded."]
    assert "kubectl" not in told.out


def test_why_of_an_mljob_that_no_operator_has_read_says_whom_to_ask(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits")
    assert "No operator has read this MLJob yet." in plugin("why", "digits").out


def test_logs_are_printed_without_control_sequences(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    serve_log(cluster, ["\x1b[31mred\x1b[0m", "  \x1b]0;owned\x07indented", "\u202eover"])
    assert plugin("logs", "digits").out == "red\n  indented\nover\n"


def test_logs_pass_their_options_on(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    asked = serve_log(cluster, ["a", "b"])
    told = plugin("logs", "digits", "group.score", "-f", "--map-index=3", "--try=2", "--tail=1")
    assert (told.code, told.out) == (0, "b\n")
    of_task = {"task": "group.score", "mapIndex": "3", "try": "2"}
    assert asked[0].query == of_task | {"tail": "1", "follow": "true", "positions": "true"}


@pytest.mark.parametrize(
    ("answer", "code", "what"),
    [
        (None, 4, "api.enabled=true"),
        (refusal(403, "Forbidden", 'cannot get resource "mljobs/log" in API group "run.mljob.dev"'), 4, "mljobs/log"),
        (refusal(404, "NotFound", "The run has no task 'nope'. Its tasks: fit."), 4, "Its tasks: fit"),
    ],
    ids=["not installed", "forbidden", "no such task"],
)
def test_logs_that_can_not_be_read_say_what_to_do(
    answer: Answer | None, code: int, what: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=running())
    if answer is not None:
        cluster.runs["team-a/digits/log"] = lambda _: answer
    told = plugin("logs", "digits", "nope")
    assert (told.code, told.out) == (code, "")
    assert what in told.err


GRAPH = {
    "apiVersion": "run.mljob.dev/v1alpha1",
    "kind": "RunGraph",
    "dagId": "train",
    "dagRunId": "x",
    "tasks": [
        {"id": "load", "label": "load", "state": "success"},
        {"id": "prepare.outer.clean", "label": "clean", "group": "prepare.outer", "state": "success"},
        {"id": "prepare.split", "label": "split", "group": "prepare", "state": "running"},
        {"id": "fit", "label": "fit"},
    ],
    "edges": [
        {"source": "load", "target": "prepare.outer.clean"},
        {"source": "prepare.outer.clean", "target": "prepare.split"},
        {"source": "prepare.split", "target": "fit"},
    ],
}


def test_tree_has_groups_states_and_dependencies(cluster: MLJobCluster, plugin: Plugin) -> None:
    tasks = [{"taskId": "prepare.split", "state": "running", "progress": 40}]
    cluster.put("digits", status=running(tasks=tasks))
    cluster.put("data", status=succeeded())
    cluster.patch(
        "digits", {"spec": {"confFrom": [{"outputsRef": {"name": "data"}}, {"outputsRef": {"name": "gone"}}]}}
    )
    cluster.runs["team-a/digits/graph"] = lambda _: Answer(200, json.dumps(GRAPH).encode())
    told = plugin("tree", "digits")
    assert told.err == ""
    assert [" ".join(line.split()) for line in told.out.splitlines()] == [
        "digits ▶ Running 1/3",
        "├─ takes outputs of data ✔ Succeeded",
        "├─ takes outputs of gone ? not found",
        "├─ load ✔ success",
        "├─ [prepare]",
        "│ ├─ [outer]",
        "│ │ └─ clean ✔ success after load",
        "│ └─ split ▶ running 40% after prepare.outer.clean",
        "└─ fit · not started after prepare.split",
    ]


def test_tree_says_that_an_upstream_mljob_could_not_be_read(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    cluster.put("data", status=succeeded())
    cluster.patch("digits", {"spec": {"confFrom": [{"outputsRef": {"name": "data"}}]}})
    cluster.interfere = lambda asked: refusal(403, "Forbidden", "no right") if asked.path.endswith("/data") else None
    told = plugin("tree", "digits")
    assert "takes outputs of data  ? can't be read: " in told.out
    assert "not found" not in told.out


def test_tree_without_mljob_api_has_the_tasks_of_the_status(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    told = plugin("tree", "digits")
    assert told.code == 0
    assert "└─ fit  ✘ failed" in told.out
    assert "ValueError: no data" in told.out
    assert "api.enabled=true" in told.err


def test_open_prints_the_page_where_there_is_no_browser(
    cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    failed_task = {"taskId": "train", "state": "failed", "logUrl": f"{URL}/train"}
    cluster.put("digits", status=running(dagRunUrl=URL, tasks=[{"taskId": "group.fit 1"}, failed_task]))
    assert plugin("open", "digits") == (0, f"{URL}\n", "")
    assert plugin("open", "digits", "group.fit 1").out == f"{URL}/tasks/group.fit%201\n"
    assert plugin("open", "digits", "train").out == f"{URL}/train\n"
    assert plugin("open", "digits", "\udcff").code == 4
    assert opened == [URL, f"{URL}/tasks/group.fit%201", f"{URL}/train"]
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    assert plugin("open", "digits") == (0, "", "")
    assert plugin("open", "digits", "--print").out == f"{URL}\n"


def test_open_of_a_misspelt_task_names_the_similar_one(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running(dagRunUrl=URL, tasks=[{"taskId": "load"}, {"taskId": "fit"}]))
    told = plugin("open", "digits", "fitt")
    assert (told.code, told.out) == (4, "")
    assert told.err == "Error: MLJob digits has no page of task 'fitt' (did you mean fit?). Its tasks: load, fit.\n"


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "javascript:alert(1)", "https://a\x1b[2J", "https://a b"])
def test_open_opens_nothing_but_pages_of_the_web(
    url: str, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("opened"))
    cluster.put("digits", status=running(dagRunUrl=url))
    told = plugin("open", "digits")
    assert (told.code, told.out) == (4, "")
    assert "has no run yet" in told.err


def test_ui_without_the_extra_says_what_to_install(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = plugin("ui")
    assert told.code == 4
    assert "pip install 'mljob[view]'" in told.err


def test_ui_serves_the_view_of_the_namespace_and_tells_its_address(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    async def serve_locally(config: Any, port: int, started: Any) -> None:
        served.append((config.namespace, port))
        started("http://127.0.0.1:8123/?token=secret-token")

    opened: list[Path] = []

    def open_browser(url: str) -> None:
        opened.append(path := Path(url.removeprefix("file://")))
        assert "secret-token" not in url, "others can see the arguments of a browser"
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
        assert 'content="0;url=http://127.0.0.1:8123/?token=secret-token"' in path.read_text()

    monkeypatch.setattr("webbrowser.open", open_browser)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("importlib.import_module", lambda _: SimpleNamespace(serve_locally=serve_locally))
    told = plugin("ui", "-n", "team-b", "--port=8123")
    assert (told.code, served) == (0, [("team-b", 8123)])
    assert "http://127.0.0.1:8123/?token=secret-token" in told.err
    assert len(opened) == 1
    assert not opened[0].parent.exists(), "nothing is left behind"
    plugin("ui", "--no-browser")
    assert len(opened) == 1


def test_logs_ask_for_no_more_lines_than_mljob_api_gives(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    asked = serve_log(cluster, ["a"])
    told = plugin("logs", "digits", "--tail=10001")
    assert (told.code, asked) == (64, [])
    assert "10000" in told.err
    assert plugin("logs", "digits", "--tail=10000").code == 0
