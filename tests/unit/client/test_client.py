from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

from mljob import AsyncClient, Client, errors
from mljob.aio.transport import AsyncTransport
from mljob.kubeconfig import ClusterConfig
from mljob.manifest import REQUEST_ID
from mljob.sweep import SWEEP_LABEL
from mljob_contract.mljob import BackfillSpec, RetryStrategy
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster
from tests.unit.client.statuses import running, succeeded


class TrainParams(BaseModel):
    epochs: int = 10
    model_id: str
    rate: float = Field(0.1, alias="learningRate")


def test_submit_creates_an_mljob(cluster: MLJobCluster, client: Client) -> None:
    job = client.submit("train", {"epochs": 3}, name="first", labels={"a": "b"}, backoffLimit=2, type="Training")

    stored = cluster.get("first")
    assert stored["spec"] == {"dagId": "train", "conf": {"epochs": 3}, "backoffLimit": 2, "type": "Training"}
    assert stored["metadata"]["labels"] == {"a": "b"}
    assert (job.name, job.namespace, job.state.uid) == ("first", "team-a", stored["metadata"]["uid"])


def test_name_is_made_from_the_dag(cluster: MLJobCluster, client: Client) -> None:
    first, second = client.submit("Train_Modell.ß"), client.submit("Train_Modell.ß")

    assert first.name.startswith("train-modell-")
    assert first.name != second.name


def test_params_class_is_sent_by_its_aliases_without_defaults(cluster: MLJobCluster, client: Client) -> None:
    client.submit("train", TrainParams(model_id="m", learningRate=0.5), name="typed")

    assert cluster.get("typed")["spec"]["conf"] == {"model_id": "m", "learningRate": 0.5}


def test_fields_of_the_spec_may_be_named_as_in_python(cluster: MLJobCluster, client: Client) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    client.submit("daily", name="days", type="Backfill", backfill=BackfillSpec(from_=at, to=at))
    client.submit("train", name="a", retry_strategy=RetryStrategy.NEW_RUN, conf_from=[{"outputsRef": {"name": "b"}}])

    backfill = cluster.get("days")["spec"]["backfill"]
    assert datetime.fromisoformat(backfill["from"]) == at
    assert cluster.get("a")["spec"]["retryStrategy"] == "NewRun"
    assert cluster.get("a")["spec"]["confFrom"] == [{"outputsRef": {"name": "b"}}]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "Upper"}, "name: 'Upper'.*For example: 'upper'"),
        ({"name": "x" * 141}, "at most 140"),
        ({"name": "../up"}, "For example: 'up'"),
        ({"conf": {"a": {1, 2}}}, r"conf\.a: .*set"),
        ({"conf": {"a": 1, "b": [float("nan")]}}, r"conf\.b: .*"),
        ({"conf": {("a", "b"): 1}}, "conf: keys must be"),
        ({"conf": ["a"]}, "conf: list is not an object"),
        ({"conf": "text"}, "conf: str is not an object"),
        ({"nothing": 1}, r"spec: no field 'nothing'\. The fields are: .*backoffLimit"),
        ({"backofLimit": 1}, r"spec: no field 'backofLimit' \(did you mean backoffLimit\?\)\. "),
        ({"type": "Trainingg"}, r"spec\.type: 'Trainingg' should be 'Training', .* \(did you mean Training\?\)"),
        ({"backoffLimit": -1}, r"spec\.backoffLimit: -1 should be greater than or equal to 0"),
        ({"backoffLimit": "many"}, r"spec\.backoffLimit"),
        ({"dag_id": "a/b"}, r"spec\.dagId"),
        ({"confFrom": [{}]}, r"spec\.confFrom\[0\]: "),
        ({"backoff_limit": "2"}, r"spec\.backoffLimit: '2' should be a valid integer; write it without quotes"),
        ({"backoffLimit": 2.5}, r"spec\.backoffLimit: 2\.5 should be a valid integer"),
        ({"suspend": "no"}, r"spec\.suspend: 'no' should be a valid boolean"),
        ({"suspend": 1}, r"spec\.suspend: 1 should be a valid boolean"),
        ({"airflowRef": {"name": 7}}, r"spec\.airflowRef\.name: 7 should be a valid string"),
        ({"outputs": {"a"}}, r"spec\.outputs: set is not a JSON value"),
        ({"dagId": "other"}, r"spec\.dagId: the argument dag_id names the DAG"),
        ({"backoff_limit": 1, "backoffLimit": 2}, r"spec\.backoffLimit: the field is there twice"),
    ],
)
def test_wrong_values_are_told_before_anything_is_sent(
    cluster: MLJobCluster, client: Client, given: dict[str, Any], says: str
) -> None:
    dag_id = given.pop("dag_id", "train")

    with pytest.raises(errors.Invalid, match=says):
        client.submit(dag_id, given.pop("conf", None), **given)

    assert cluster.asked == []


def test_missing_mljob_is_told_with_its_namespace(client: Client) -> None:
    with pytest.raises(errors.NotFound, match=r"There is no MLJob 'nope' in namespace team-b\.") as told:
        client.get("nope", "team-b")

    assert told.value.code == 404


def test_name_that_is_taken_is_told(cluster: MLJobCluster, client: Client) -> None:
    client.submit("train", name="mine")

    with pytest.raises(errors.AlreadyExists, match=r"already exists\. .*: take another name, or retry or delete"):
        client.submit("train", name="mine")


def test_submission_whose_answer_was_lost_is_one_mljob(cluster: MLJobCluster, client: Client) -> None:
    lost: list[Asked] = []

    def lose_first_answer(asked: Asked) -> Answer | None:
        if asked.method != "POST" or lost:
            return None
        lost.append(asked)
        cluster._create(asked, "team-a")
        return Answer(200, b"{", then_cut=True)

    cluster.interfere = lose_first_answer

    job = client.submit("train", name="once")

    assert job.state.uid == cluster.get("once")["metadata"]["uid"]
    assert cluster.count("POST") == 2
    assert job.state.annotations[REQUEST_ID]


def test_jobs_are_listed_by_labels(cluster: MLJobCluster, client: Client) -> None:
    client.submit("train", name="a", labels={"team": "vision"})
    client.submit("train", name="b")
    client.submit("train", name="c", namespace="team-b", labels={"team": "vision"})

    assert [job.name for job in client.list_jobs("team=vision")] == ["a"]
    assert [job.name for job in client.list_jobs("team=vision", all_namespaces=True)] == ["a", "c"]
    assert [job.name for job in client.list_jobs(namespace="team-b")] == ["c"]


def test_endless_selector_is_refused(cluster: MLJobCluster, client: Client) -> None:
    with pytest.raises(errors.Invalid, match="selector"):
        client.list_jobs("a," * 10_000)


def test_sweep_creates_a_job_for_each_combination_under_one_label(cluster: MLJobCluster, client: Client) -> None:
    jobs = client.sweep("train", {"rate": [0.1, 0.2], "layers": [1, 2]}, name="lr", conf={"epochs": 3, "rate": 1})

    confs = [job.state.conf for job in jobs]
    assert confs == [{"epochs": 3, "rate": rate, "layers": layers} for rate in (0.1, 0.2) for layers in (1, 2)]
    assert {job.state.labels[SWEEP_LABEL] for job in jobs} == {"lr"}
    assert [job.name for job in client.list_jobs("mljob.dev/sweep=lr")] == [job.name for job in jobs]


def test_same_sweep_again_creates_what_is_missing(cluster: MLJobCluster, client: Client) -> None:
    first = client.sweep("train", {"rate": [0.1, 0.2]}, name="lr")
    cluster.remove(first[0].name)

    second = client.sweep("train", {"rate": [0.1, 0.2, 0.3]}, name="lr")

    assert [job.name for job in second][:2] == [job.name for job in first]
    assert second[1].state.uid == first[1].state.uid
    assert second[0].state.uid != first[0].state.uid


@pytest.mark.parametrize(("first", "second"), [(1, True), ([0], [False]), ({"a": {"b": 1}}, {"a": {"b": True}})])
def test_sweep_tells_numbers_from_booleans(client: Client, first: Any, second: Any) -> None:
    client.sweep("train", {"rate": [0.1]}, name="lr", conf={"shuffle": first})

    with pytest.raises(errors.AlreadyExists, match=r"another spec\.conf"):
        client.sweep("train", {"rate": [0.1]}, name="lr", conf={"shuffle": second})


def test_sweep_does_not_take_over_a_job_with_another_conf(cluster: MLJobCluster, client: Client) -> None:
    client.sweep("train", {"rate": [0.1]}, name="lr", conf={"epochs": 1})

    with pytest.raises(errors.AlreadyExists):
        client.sweep("train", {"rate": [0.1]}, name="lr", conf={"epochs": 2})


class Array:
    """An array or a number as NumPy has them."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def tolist(self) -> Any:
        return self._content


DATA = {"confFrom": [{"outputsRef": {"name": "data-v1"}}]}


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (DATA, {"confFrom": [{"outputsRef": {"name": "data-v2"}}]}, r"spec\.confFrom: .*data-v1.*, not .*data-v2"),
        (DATA, {}, r"spec\.confFrom: .*data-v1.*, not none"),
        ({}, {"type": "Training"}, r"spec\.type: none, not Training"),
        ({"airflowRef": {"name": "a"}}, {"airflowRef": {"name": "b"}}, r"spec\.airflowRef"),
        ({}, {"outputs": [{"name": "a", "taskId": "fit"}]}, r"spec\.outputs"),
        ({"backoffLimit": 0}, {"backoff_limit": 5}, r"spec\.backoffLimit: 0, not 5"),
    ],
)
def test_sweep_does_not_take_over_a_job_with_another_spec(
    client: Client, first: dict[str, Any], second: dict[str, Any], says: str
) -> None:
    (job,) = client.sweep("train", {"rate": [0.1]}, name="lr", **first)

    with pytest.raises(errors.AlreadyExists, match=rf"team-a/{job.name} .*{says}.*Take another name"):
        client.sweep("train", {"rate": [0.1]}, name="lr", **second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"suspend": True}, {"suspend": False}),
        ({"backoffLimit": 2, "type": "Training"}, {}),
        ({}, {"backoffLimit": 0, "type": "Custom", "confFrom": []}),
        ({"logicalDate": "2026-01-01T00:00:00Z"}, {"logicalDate": "2026-01-01T01:00:00+01:00"}),
        ({"conf": {"epochs": 1, "on": True}}, {"conf": {"on": True, "epochs": 1.0}}),
        ({"conf": json.loads('{"a":' * 600 + "1" + "}" * 600)}, {"conf": json.loads('{"a":' * 600 + "1" + "}" * 600)}),
    ],
)
def test_sweep_takes_jobs_whose_spec_means_the_same(
    client: Client, first: dict[str, Any], second: dict[str, Any]
) -> None:
    (job,) = client.sweep("train", {"rate": [0.1]}, name="lr", **first)

    (again,) = client.sweep("train", {"rate": [0.1]}, name="lr", labels={"a": "b"}, **second)

    assert again.state.uid == job.state.uid


def test_sweep_does_not_take_over_a_job_that_is_being_deleted_or_of_another_sweep(
    cluster: MLJobCluster, client: Client
) -> None:
    (job,) = client.sweep("train", {"rate": [0.1]}, name="lr")
    for metadata, says in (
        ({"labels": {}}, "its label mljob.dev/sweep is not lr"),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "is being deleted"),
    ):
        cluster.put(job.name, **metadata)
        with pytest.raises(errors.AlreadyExists, match=says):
            client.sweep("train", {"rate": [0.1]}, name="lr")


@pytest.mark.parametrize(
    ("grid", "name", "says"),
    [
        ({}, "lr", "no points"),
        ({"rate": []}, "lr", "no points"),
        ({"rate": 0.1}, "lr", r"grid\.rate: float is not a list"),
        ({"model": "abc"}, "lr", r"grid\.model: str is not a list"),
        ({"rate": [0.1, 0.1]}, "lr", "twice"),
        ({"a": list(range(30)), "b": list(range(30))}, "lr", "at most 500"),
        ([{"a": number} for number in range(501)], "lr", "501 points"),
        ({"rate": [object()]}, "lr", r"grid\.rate: object is not a JSON value\. Give what JSON can hold"),
        ([{"n": 1, "rate": float("nan")}], "lr", r"grid\.rate: Out of range float"),
        ({"rate": Array(0.1)}, "lr", r"grid\.rate: float is not a list"),
        ({"rate": [0.1]}, "Lr!", "For example: 'lr'"),
        ({"rate": [0.1]}, "x" * 64, "at most 63"),
    ],
)
def test_wrong_sweep_creates_nothing(cluster: MLJobCluster, client: Client, grid: Any, name: str, says: str) -> None:
    with pytest.raises(errors.Invalid, match=says):
        client.sweep("train", grid, name=name)

    assert cluster.asked == []


def test_arrays_and_numbers_of_numpy_are_lists_and_numbers(cluster: MLJobCluster, client: Client) -> None:
    plain = client.sweep("train", {"rate": [0.1, 0.2], "sizes": [[1, 2]], "n": [3]}, name="lr")

    grid: Any = {"rate": Array([0.1, 0.2]), "sizes": [Array([1, 2])], "n": [Array(3)]}
    same = client.sweep("train", grid, name="lr")
    job = client.submit("train", {"n": Array(3), "deep": {"a": Array([1])}}, backoffLimit=Array(2))

    assert [job.state for job in same] == [job.state for job in plain]
    assert job.state.conf == {"n": 3, "deep": {"a": [1]}}
    assert job.state.raw_spec["backoffLimit"] == 2


def test_float_without_a_fraction_is_an_integer_of_the_spec(cluster: MLJobCluster, client: Client) -> None:
    job = client.submit("train", {"n": 2.0}, activeDeadlineSeconds=7200.0, backoffLimit=Array(2.0))

    assert job.state.raw_spec["activeDeadlineSeconds"] == 7200
    assert job.state.raw_spec["backoffLimit"] == 2
    assert isinstance(job.state.raw_spec["backoffLimit"], int)
    assert isinstance(job.state.conf["n"], float)
    with pytest.raises(errors.InvalidArgument, match=r"^spec\.backoffLimit: 2\.5 "):
        client.submit("train", backoffLimit=2.5)


def test_list_of_points_is_a_grid_too(cluster: MLJobCluster, client: Client) -> None:
    jobs = client.sweep("train", [{"rate": 0.1}, {"layers": 7}], name="odd")

    assert [job.state.conf for job in jobs] == [{"rate": 0.1}, {"layers": 7}]


def test_compare_takes_a_selector_names_or_handles(cluster: MLJobCluster, client: Client) -> None:
    jobs = client.sweep("train", {"rate": [0.1, 0.2]}, name="lr")
    for job, accuracy in zip(jobs, (0.7, 0.9), strict=True):
        cluster.put(job.name, status=succeeded(outputs={"accuracy": accuracy}))

    for chosen in ("mljob.dev/sweep=lr", [job.name for job in jobs], jobs):
        found = client.compare(chosen)
        assert found.best is not None
        assert found.best.name == jobs[1].name
        assert [row["rate"] for row in found.to_rows()] == [0.2, 0.1]


@pytest.mark.parametrize("by", [None, "accuracy"])
def test_compare_of_no_mljobs_names_the_selector_and_the_namespace(by: str | None, client: Client) -> None:
    with pytest.raises(errors.Invalid, match=r"^No MLJob in namespace team-a has the labels mljob\.dev/sweep=nope\.$"):
        client.compare("mljob.dev/sweep=nope", by=by)
    with pytest.raises(errors.Invalid, match=r"^No MLJob in namespace team-b has the labels a=b\.$"):
        client.compare("a=b", by=by, namespace="team-b")
    with pytest.raises(errors.Invalid, match=r"^selector: there are no names or handles of MLJobs to compare\.$"):
        client.compare([], by=by)


def test_watch_gives_changes_of_all_namespaces(cluster: MLJobCluster, client: Client) -> None:
    client.submit("train", name="a", namespace="x")
    client.submit("train", name="b", namespace="y")

    told = []
    for change in client.watch(all_namespaces=True):
        if change.item is None:
            break
        told.append(change.item.namespace)

    assert told == ["x", "y"]


async def test_asyncio_half_submits_and_compares(cluster: MLJobCluster, config: ClusterConfig) -> None:
    async with AsyncClient(transport=AsyncTransport(config)) as client:
        job = await client.submit("train", {"a": 1})
        cluster.put(job.name, status=running())
        assert (await job.refresh()).phase == "Running"
        assert [row.job.name for row in (await client.compare([job])).rows] == [job.name]
