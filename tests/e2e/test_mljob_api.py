from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from devstack import binaries
from devstack import control_plane as devstack_control_plane
from devstack.operator_process import RELEASE
from devstack.stack import Stack
from mljob_contract.graph import RunGraph
from mljob_contract.history import (
    EndReason,
    HistoryEnd,
    HistoryEntry,
    MetricsReport,
    ProgressReport,
    RunChange,
    TaskChange,
    parse_entry,
)
from mljob_contract.run_api import RunSubresource, run_path
from tests.conftest import NewInstallation
from tests.live.eventually import eventually
from tests.live.kubectl import Kubectl, KubectlError
from tests.live.mljobs import MLJobs, manifest

PASSWORD = "hunter2-correct-horse"
EPOCHS = 6
HELD = "epoch 2 is over"
FINDS_THE_RUN = 180.0
"""Seconds until a run must have reached the state that a test needs."""


def path(namespace: str, name: str, subresource: RunSubresource, *, watch: bool = False, **query: Any) -> str:
    parameters = urlencode({name: str(value).lower() for name, value in query.items()})
    return run_path(namespace, name, subresource, watch=watch) + (f"?{parameters}" if parameters else "")


class Follower:
    """A background process of ``kubectl get --raw`` that writes a log or a run's events to a file.

    Args:
        output: The file for the output of kubectl.
    """

    def __init__(self, kubectl: Kubectl, path: str, output: Path) -> None:
        self._output = output
        command = kubectl.command("get", "--raw", path)
        with output.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    @property
    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def until(self, text: str) -> None:
        eventually(lambda: text in self.text, f"the follower shows {text!r}", evidence=lambda: self.text)

    def end(self) -> str:
        assert self._process.wait(timeout=60) == 0, self.text
        return self.text

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Runs:
    """Reads logs, events and graphs through mljob-api.

    Attributes:
        jobs: The MLJobs of one namespace.
        directory: The folder for the output of each :class:`Follower`. The MLJob ``training`` ends
            when a test creates the file ``go`` in this folder.
    """

    jobs: MLJobs
    directory: Path

    def read(self, name: str, subresource: RunSubresource, **query: Any) -> str:
        return self.jobs.kubectl("get", "--raw", path(self.jobs.namespace, name, subresource, **query))

    def log(self, name: str, **query: Any) -> str:
        return self.read(name, RunSubresource.LOG, **query)

    def graph(self, name: str) -> RunGraph:
        return RunGraph.model_validate_json(self.read(name, RunSubresource.GRAPH))

    def entries(self, name: str) -> list[HistoryEntry]:
        return entries(self.read(name, RunSubresource.EVENTS))

    def follow(self, name: str, subresource: RunSubresource, output: str, **query: Any) -> Follower:
        where = path(self.jobs.namespace, name, subresource, **query)
        return Follower(self.jobs.kubectl, where, self.directory / output)


def entries(text: str) -> list[HistoryEntry]:
    return [entry for entry in map(parse_entry, text.splitlines()) if entry is not None]


def curve(found: list[HistoryEntry]) -> list[tuple[float, float]]:
    return [(entry.metrics["epoch"], entry.metrics["loss"]) for entry in found if isinstance(entry, MetricsReport)]


@pytest.fixture(scope="module")
def runs(new_installation: NewInstallation, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A :class:`Runs` for a namespace with two MLJobs: ``failing`` has failed, and ``training``
    runs until a test creates the file ``go`` in ``Runs.directory``.
    """
    jobs = new_installation("mljob-api", MLJOB_RUN_ID_PREFIX="mljob").jobs
    directory = tmp_path_factory.mktemp("mljob-api")
    jobs.kubectl("create", "secret", "generic", "warehouse", f"--from-literal=password={PASSWORD}")
    jobs.apply(
        manifest("training", "run_api_training", {"directory": str(directory)}, backoffLimit=0),
        manifest("failing", "run_api_failing", confFrom=[{"secretRef": {"name": "warehouse"}}], backoffLimit=0),
    )
    jobs.until_finished("failing")
    jobs.until("training", lambda status: '"epoch": 2' in json.dumps(status), "it is held", within=FINDS_THE_RUN)
    yield Runs(jobs, directory)
    (directory / "go").touch()


@dataclass(frozen=True)
class Followed:
    """What mljob-api returned for the MLJob ``training``: the logs of the tasks ``fit`` (``log``)
    and ``evaluate`` (``log_of_waiting_task``), all events, and the graph before the end of the run.
    """

    log: str
    log_of_waiting_task: str
    events: list[HistoryEntry]
    graph_before: RunGraph


@pytest.fixture(scope="module")
def followed(runs: Runs) -> Iterator[Followed]:
    log = runs.follow("training", RunSubresource.LOG, "log", task="fit", follow=True)
    waiting = runs.follow("training", RunSubresource.LOG, "waiting", task="evaluate", follow=True)
    events = runs.follow("training", RunSubresource.EVENTS, "events", watch=True)
    try:
        log.until(HELD)
        events.until('"epoch"')
        graph = runs.graph("training")
        assert "the model is ready" not in log.text
        (runs.directory / "go").touch()
        yield Followed(log.end(), waiting.end(), entries(events.end()), graph)
    finally:
        for follower in (log, waiting, events):
            follower.stop()


# --- Logs -----------------------------------------------------------------------------------------


@pytest.mark.every_airflow
def test_log_of_a_failed_run_is_that_of_the_failed_task_with_its_traceback(runs: Runs) -> None:
    log = runs.log("failing")

    assert "row 99" in log
    assert "Traceback (most recent call last)" in log
    assert "ConnectionError: postgresql://" in log
    assert "this is number" not in log


@pytest.mark.every_airflow
def test_values_of_secrets_are_masked_in_logs_and_events(runs: Runs) -> None:
    log = runs.log("failing", task="connect")
    events = runs.read("failing", RunSubresource.EVENTS)

    assert "connecting with ***" in log
    assert "postgresql://ml:***@warehouse refused" in log
    assert PASSWORD not in log
    assert PASSWORD not in events


@pytest.mark.every_airflow
def test_tail_is_the_end_of_the_log(runs: Runs) -> None:
    whole = runs.log("failing", task="connect").splitlines()
    tail = runs.log("failing", task="connect", tail=5).splitlines()

    assert tail == whole[-5:]


@pytest.mark.every_airflow
def test_each_instance_of_a_mapped_task_has_its_log(runs: Runs) -> None:
    log = runs.log("failing", task="number", mapIndex=1)

    assert "this is number 8" in log
    assert "this is number 7" not in log


def test_log_without_following_ends_where_the_task_is(runs: Runs) -> None:
    log = runs.log("training")

    assert HELD in log, "without a task it is the log of the running one"
    assert "the model is ready" not in log


@pytest.mark.every_airflow
def test_following_a_log_shows_all_of_it_and_ends_with_the_task(followed: Followed) -> None:
    assert [f"epoch {epoch} is over" in followed.log for epoch in range(EPOCHS)] == [True] * EPOCHS
    assert followed.log.count("the model is ready") == 1


@pytest.mark.every_airflow
def test_following_the_log_of_a_task_waits_for_its_start(followed: Followed) -> None:
    assert "the accuracy is 0.9" in followed.log_of_waiting_task


# --- Events ---------------------------------------------------------------------------------------

CURVE = [(epoch, 1 / (epoch + 1)) for epoch in range(EPOCHS)]


@pytest.mark.every_airflow
def test_watching_events_shows_every_point_and_ends_with_the_run(followed: Followed) -> None:
    *_, end = followed.events

    assert curve(followed.events) == CURVE
    assert isinstance(end, HistoryEnd)
    assert end.reason is EndReason.COMPLETE
    assert [entry.state for entry in followed.events if isinstance(entry, RunChange)][-1] == "success"


def test_events_of_a_finished_run_have_every_point_of_its_curve(runs: Runs, followed: Followed) -> None:
    runs.jobs.until_finished("training")
    found = runs.entries("training")

    assert curve(found) == CURVE
    reported = [entry.progress for entry in found if isinstance(entry, ProgressReport)]
    assert reported[-1] == 1
    states = [(entry.task_id, entry.state) for entry in found if isinstance(entry, TaskChange)]
    assert ("fit", "running") in states
    assert ("evaluate", "success") in states


def test_events_can_be_read_on_from_a_cursor(runs: Runs, followed: Followed) -> None:
    runs.jobs.until_finished("training")
    end = runs.entries("training")[-1]
    assert isinstance(end, HistoryEnd)
    assert end.cursor

    rest = entries(runs.read("training", RunSubresource.EVENTS, after=end.cursor))

    assert not curve(rest)


def test_events_tell_why_a_task_failed(runs: Runs) -> None:
    errors = [
        entry.error.message
        for entry in runs.entries("failing")
        if isinstance(entry, TaskChange) and entry.task_id == "connect" and entry.error
    ]

    assert any("warehouse refused" in error for error in errors)


# --- Graph ----------------------------------------------------------------------------------------


@pytest.mark.every_airflow
def test_graph_has_the_tasks_with_their_states_and_edges(runs: Runs, followed: Followed) -> None:
    before = {task.id: task.state for task in followed.graph_before.tasks}
    assert (before["prepare"], before["fit"]) == ("success", "running")
    assert before["evaluate"] not in ("running", "success")
    assert [(edge.source, edge.target) for edge in followed.graph_before.edges] == [
        ("prepare", "fit"),
        ("fit", "evaluate"),
    ]

    runs.jobs.until_finished("training")
    assert {task.state for task in runs.graph("training").tasks} == {"success"}


@pytest.mark.every_airflow
def test_graph_counts_the_instances_of_a_mapped_task(runs: Runs) -> None:
    tasks = {task.id: task for task in runs.graph("failing").tasks}

    assert tasks["number"].counts == "3/3"
    assert tasks["connect"].state == "failed"
    assert tasks["connect"].counts is None


# --- Rights ---------------------------------------------------------------------------------------


class Caller:
    def __init__(self, url: str, authority: str, token: str | None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = urllib3.PoolManager(ca_certs=authority, retries=False, timeout=30)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        answer = self._http.request("GET", self._url + path, headers=self._headers | headers)
        return answer.status, answer.data.decode(errors="replace")


@pytest.fixture(scope="module")
def viewer(runs: Runs, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    jobs = runs.jobs
    jobs.kubectl("create", "serviceaccount", "viewer")
    jobs.kubectl(
        "create", "rolebinding", "viewer",
        f"--clusterrole={RELEASE}-viewer", f"--serviceaccount={jobs.namespace}:viewer",
    )  # fmt: skip
    kubeconfig = tmp_path_factory.mktemp("viewer") / "kubeconfig"
    found = binaries.locate("kubectl")
    administrator = devstack_control_plane.Kubectl(found, stack.kubeconfig)
    devstack_control_plane.write_service_account_kubeconfig(administrator, jobs.namespace, "viewer", kubeconfig)
    return Kubectl(found["kubectl"], kubeconfig, jobs.namespace, stack.directory / "watches")


def test_a_viewer_reads_log_events_and_graph(viewer: Kubectl, runs: Runs) -> None:
    def read(subresource: RunSubresource, **query: Any) -> str:
        return viewer("get", "--raw", path(viewer.namespace, "failing", subresource, **query))

    assert "row 99" in read(RunSubresource.LOG, tail=20)
    assert entries(read(RunSubresource.EVENTS))
    assert entries(viewer("get", "--raw", path(viewer.namespace, "failing", RunSubresource.EVENTS, watch=True)))
    assert RunGraph.model_validate_json(read(RunSubresource.GRAPH)).tasks


@pytest.mark.parametrize("subresource", RunSubresource)
def test_a_viewer_of_another_namespace_is_refused(viewer: Kubectl, runs: Runs, subresource: RunSubresource) -> None:
    with pytest.raises(KubectlError, match=r"\(?Forbidden\)?"):
        viewer("get", "--raw", path("default", "failing", subresource))


def test_the_api_server_lists_the_subresources(runs: Runs) -> None:
    found = json.loads(runs.jobs.kubectl("get", "--raw", "/apis/run.mljob.dev/v1alpha1"))

    verbs = {resource["name"]: set(resource["verbs"]) for resource in found["resources"]}
    assert {f"mljobs/{subresource}" for subresource in RunSubresource} <= set(verbs)
    assert "watch" in verbs["mljobs/events"]
    assert "run.mljob.dev/v1alpha1" in runs.jobs.kubectl("api-versions")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nobody"),
        pytest.param({"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, id="as the front proxy"),
    ],
)
def test_a_call_without_the_front_proxys_certificate_is_refused(
    runs: Runs, stack: Stack, headers: Mapping[str, str]
) -> None:
    api = stack.mljob_api
    caller = Caller(api.url, str(api.authority), None)

    status, body = caller.get(path(runs.jobs.namespace, "failing", RunSubresource.LOG), **headers)

    assert status == 401
    assert json.loads(body)["kind"] == "Status"
    assert "row" not in body


# --- What does not exist or is not true -----------------------------------------------------------


def refusal(runs: Runs, name: str, subresource: RunSubresource, **query: Any) -> str:
    with pytest.raises(KubectlError) as refused:
        runs.read(name, subresource, **query)
    return str(refused.value)


@pytest.mark.parametrize("subresource", RunSubresource)
def test_an_mljob_that_does_not_exist_is_not_found(runs: Runs, subresource: RunSubresource) -> None:
    assert "NotFound" in refusal(runs, "nothing", subresource)


def test_a_task_that_does_not_exist_is_named(runs: Runs) -> None:
    assert "no_such_task" in refusal(runs, "failing", RunSubresource.LOG, task="no_such_task")


@pytest.fixture(scope="module")
def forged(runs: Runs, kubectl: Kubectl) -> Iterator[Runs]:
    """A :class:`Runs` for two MLJobs, ``failing`` and ``other``, in a namespace without an
    operator. Both have a forged status, which names the run of the MLJob ``failing`` in the
    namespace of the fixture ``runs``.
    """
    namespace = f"forged-{runs.jobs.namespace.rpartition('-')[2]}"
    kubectl("create", "namespace", namespace)
    claimed = runs.jobs.status("failing")
    jobs = MLJobs(kubectl.within(namespace), lambda: "there is no operator")
    for name in ("failing", "other"):
        jobs.submit(name, claimed["dagId"])
        patch = {"status": {field: claimed[field] for field in claimed if field not in ("conditions", "history")}}
        jobs.kubectl("patch", "mljob", name, "--subresource=status", "--type=merge", f"--patch={json.dumps(patch)}")
        assert jobs.status(name)["dagRunId"] == claimed["dagRunId"]
    yield Runs(jobs, runs.directory)
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("name", ["failing", "other"])
@pytest.mark.parametrize("subresource", RunSubresource)
def test_a_forged_status_shows_nothing_of_another_run(
    forged: Runs, runs: Runs, name: str, subresource: RunSubresource
) -> None:
    said = refusal(forged, name, subresource)

    assert "row" not in said
    assert "warehouse" not in said
    assert runs.jobs.namespace not in said
