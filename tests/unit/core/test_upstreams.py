"""An upstream MLJob is an MLJob whose outputs another MLJob uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mljob_contract.mljob import FINALIZER, OutputsReference, UpstreamRun
from mljob_operator.core.conf.conf import Source, merged, not_public
from mljob_operator.core.mljob.cycle import MAX_SEARCHED
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.upstream import Dependencies, Upstream, dependencies, outputs_of, upstream_names
from mljob_operator.core.status.messages import MAX_MESSAGE

from .situations import job, new, reported, upstream, upstream_that

RUN = UpstreamRun(name="data", dag_run_id="run-1", attempt=1)


def mljob(
    name: str = "data", status: Mapping[str, Any] | None = None, *, finalizers: list[str] | None = None, **spec: Any
) -> Job:
    told = {
        "observedGeneration": 3,
        "phase": "Succeeded",
        "reason": "Succeeded",
        "dagId": "train",
        "dagRunId": "run-1",
        "attempts": 1,
        "outputs": {"rows": 2000},
    }
    metadata = {"namespace": "team-a", "name": name, "uid": "u", "generation": 3, "finalizers": finalizers or []}
    return Job.from_object(
        {"metadata": metadata, "spec": {"dagId": "train", **spec}, "status": told | dict(status or {})}
    )


def taking(*references: Mapping[str, Any], name: str = "train") -> Job:
    return mljob(name, confFrom=[{"outputsRef": reference} for reference in references])


def conditions(reason: str, message: str = "", *, stalled: bool = True, generation: int = 3) -> dict[str, Any]:
    more = {
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": generation,
    }
    return {
        "conditions": [
            {"type": "Reconciling", "status": str(not stalled), **more},
            {"type": "Stalled", "status": str(stalled), **more},
        ]
    }


WAITS: dict[str, Any] = {"confFrom": [{"outputsRef": {"name": "raw"}}]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(mljob(), Upstream(RUN, {"rows": 2000}), id="succeeded"),
        pytest.param(
            mljob(status={"attempts": 2, "outputs": None, "outputsOmitted": ["weights"]}),
            Upstream(RUN.model_copy(update={"attempt": 2}), omitted=("weights",)),
            id="succeeded with an output that is too large",
        ),
        pytest.param(mljob(status={"phase": "Running"}), Upstream(), id="running"),
        pytest.param(mljob(status={"phase": "Suspended"}), Upstream(suspended=True), id="suspended"),
        pytest.param(mljob(finalizers=[FINALIZER]), Upstream(), id="its outputs are not read completely"),
        pytest.param(mljob(status={"observedGeneration": 2}), Upstream(), id="the success is of an older spec"),
        pytest.param(
            mljob(status={"observedGeneration": 2} | conditions("TaskFailed", "Out of memory.", generation=2)),
            Upstream(),
            id="the failure is of an older spec",
        ),
        pytest.param(mljob(status={"specHash": "another"}), Upstream(), id="another run of its spec is to come"),
        pytest.param(
            mljob(status={"phase": "Failed"} | conditions("TaskFailed", "Out of memory.")),
            Upstream(failure="is Failed with reason TaskFailed: Out of memory."),
            id="failed",
        ),
        pytest.param(
            mljob(status={"phase": "Pending"} | conditions("ValidationFailed", "x" * 3000)),
            Upstream(failure=f"is Pending with reason ValidationFailed: {'x' * 397}..."),
            id="its spec was refused",
        ),
        pytest.param(
            mljob(status={"phase": "Pending"} | conditions("WaitingForMLJob", stalled=False), **WAITS),
            Upstream(waits_for=("raw",)),
            id="it waits itself",
        ),
        pytest.param(
            mljob(status={"observedGeneration": 2} | conditions("WaitingForMLJob", stalled=False), **WAITS),
            Upstream(waits_for=("raw",)),
            id="it waits before it runs another spec",
        ),
        pytest.param(
            mljob(status={"observedGeneration": 2} | conditions("DependencyFailed", "MLJob raw is Failed."), **WAITS),
            Upstream(
                failure="is Succeeded with reason DependencyFailed: MLJob raw is Failed.",
                waits_for=("raw",),
            ),
            id="it gets no outputs for another spec",
        ),
        pytest.param(
            mljob(status={"phase": "Queued"} | conditions("Queued", stalled=False), **WAITS),
            Upstream(),
            id="it has its outputs",
        ),
        pytest.param(
            mljob(confFrom=[{"secretRef": {"name": "warehouse"}}]),
            Upstream(RUN, {"rows": 2000}, has_secrets=True),
            id="its outputs may quote Secrets",
        ),
    ],
)
def test_conditions_say_whether_an_mljob_succeeded_or_needs_a_change(found: Job, expected: Upstream) -> None:
    assert Upstream.of(found) == expected


def test_upstream_mljobs_are_named_once_and_in_order() -> None:
    assert upstream_names(taking({"name": "b"}, {"name": "a"}, {"name": "b"}).spec) == ("b", "a")
    assert upstream_names(mljob().spec) == ()


@pytest.mark.parametrize(
    ("references", "known", "expected"),
    [
        pytest.param(
            [{"name": "data"}],
            {"data": None},
            "WaitingForMLJob: MLJob data (spec.confFrom[0].outputsRef) does not exist in namespace team-a. "
            "The run starts when MLJob data has succeeded.",
            id="it is not there yet",
        ),
        pytest.param(
            [{"name": "data"}],
            {"data": Upstream(deleted=True)},
            "WaitingForMLJob: MLJob data (spec.confFrom[0].outputsRef) has succeeded, but was deleted from namespace "
            "team-a before its outputs were taken. Create it again, with a longer spec.ttlSecondsAfterFinished if it "
            "has one. The run starts when MLJob data has succeeded.",
            id="it has expired",
        ),
        pytest.param(
            [{"name": "data"}, {"name": "raw"}, {"name": "data", "keys": ["a"]}],
            {"data": Upstream(), "raw": Upstream(suspended=True)},
            "WaitingForMLJob: MLJob data (spec.confFrom[0].outputsRef) has not succeeded yet. "
            "MLJob raw (spec.confFrom[1].outputsRef) is suspended. "
            "The run starts when MLJobs data and raw have succeeded.",
            id="several",
        ),
        pytest.param(
            [{"name": "data"}, {"name": "raw"}],
            {"data": Upstream(), "raw": upstream_that("is Failed with reason TaskFailed: Out of memory.")},
            "DependencyFailed: MLJob raw (spec.confFrom[1].outputsRef) is Failed with reason TaskFailed: Out of memory. "
            "The run starts if that MLJob succeeds after all.",
            id="a failure is told before what is waited for",
        ),
        pytest.param(
            [{"name": "data"}],
            {"data": upstream_that(waits_for="train")},
            "DependencyFailed: These MLJobs wait for each other's outputs: train waits for data, and data waits for train. "
            "Remove an outputsRef from the spec.confFrom of one of them.",
            id="a cycle",
        ),
        pytest.param(
            [{"name": "data"}],
            {"data": upstream_that(waits_for="raw"), "raw": upstream_that(waits_for="data")},
            "WaitingForMLJob: MLJob data (spec.confFrom[0].outputsRef) has not succeeded yet. "
            "The run starts when MLJob data has succeeded.",
            id="a cycle of others, which say so themselves",
        ),
        pytest.param(
            [{"name": "data", "keys": ["path"]}],
            {"data": Upstream(RUN, {"rows": 1}, omitted=("path (in an object store)",))},
            "DependencyFailed: MLJob data (spec.confFrom[0].outputsRef) succeeded without the output 'path'. "
            "The output was too large or not JSON: its status.outputsOmitted and the log of its task say more.",
            id="a key that was omitted",
        ),
        pytest.param(
            [{"name": "data", "keys": ["path"]}],
            {"data": Upstream(RUN, {"rows": 1}, omitted=("path_of_others",))},
            "DependencyFailed: MLJob data (spec.confFrom[0].outputsRef) succeeded without the output 'path'. "
            "Its outputs are rows. Correct keys, or the task that publishes the outputs.",
            id="a key that does not exist",
        ),
        *(
            pytest.param(
                [{"name": "data", **keys}],
                {
                    "data": Upstream(
                        RUN, omitted=("all outputs (the run was deleted in Airflow before they were read)",)
                    )
                },
                "DependencyFailed: MLJob data (spec.confFrom[0].outputsRef) succeeded, but its outputs are lost: "
                "all outputs (the run was deleted in Airflow before they were read) (status.outputsOmitted). "
                "Run that MLJob again.",
                id=f"its outputs are lost {keys}",
            )
            for keys in ({}, {"keys": ["rows"]})
        ),
        pytest.param(
            [{"name": "data", "keys": ["rows"]}],
            {"data": Upstream(RUN, {"rows": 1, "deep": [{"url": "a***b"}]}, has_secrets=True)},
            None,
            id="another output quotes a Secret",
        ),
        pytest.param(
            [{"name": "data"}],
            {"data": Upstream(RUN, {"rows": 1, "deep": [{"url": "a***b"}]}, has_secrets=True)},
            "DependencyFailed: MLJob data (spec.confFrom[0].outputsRef) has the output 'deep', in which a value from a "
            "Secret is replaced by ***. Let its task publish what is not secret, or take other outputs with keys.",
            id="an output quotes a Secret",
        ),
        pytest.param(
            [{"name": "data"}], {"data": Upstream(RUN, {"title": "***"})}, None, id="three asterisks, without Secrets"
        ),
    ],
)
def test_blocker_says_what_is_missing_and_what_to_do(
    references: list[dict[str, Any]], known: dict[str, Upstream | None], expected: str | None
) -> None:
    blocker = dependencies(taking(*references), known).blocker
    assert (f"{blocker.reason}: {blocker.message}" if blocker is not None else None) == expected
    assert blocker is None or blocker.stalls is (blocker.reason == "DependencyFailed")


def test_failure_at_the_begin_of_a_long_chain_is_told_whole_at_its_end() -> None:
    cause = f"Task fit failed at try 1: ValueError: {'x' * 300}"
    before = mljob("job-0", status={"phase": "Failed"} | conditions("TaskFailed", cause))
    message = ""
    for number in range(1, 50):
        blocker = dependencies(
            taking({"name": before.name}, name=f"job-{number}"), {before.name: Upstream.of(before)}
        ).blocker
        assert blocker is not None
        assert len(blocker.message) <= MAX_MESSAGE
        message = blocker.message
        before = mljob(
            f"job-{number}",
            status={"phase": "Pending"} | conditions("DependencyFailed", message),
            confFrom=[{"outputsRef": {"name": before.name}}],
        )
    assert message == (
        "MLJob job-48 (spec.confFrom[0].outputsRef) gets no outputs, because MLJob job-0 is Failed with reason "
        f"TaskFailed: {cause}. The run starts if that MLJob succeeds after all."
    )


def test_cause_of_a_chain_is_the_mljob_whose_own_spec_is_wrong() -> None:
    lacks = "MLJob data (spec.confFrom[0].outputsRef) succeeded without the output 'path'. It has no outputs."
    train = mljob("train", status={"phase": "Pending"} | conditions("DependencyFailed", lacks))
    first = dependencies(taking({"name": "train"}, name="predict"), {"train": Upstream.of(train)}).blocker
    assert first is not None
    assert first.message.startswith(
        "MLJob train (spec.confFrom[0].outputsRef) is Pending with reason DependencyFailed: MLJob data "
        "(spec.confFrom[0].outputsRef) succeeded without the output 'path'."
    )
    predict = mljob("predict", status={"phase": "Pending"} | conditions("DependencyFailed", first.message))
    second = dependencies(taking({"name": "predict"}, name="report"), {"predict": Upstream.of(predict)}).blocker
    assert second is not None
    assert second.message.startswith(
        "MLJob predict (spec.confFrom[0].outputsRef) gets no outputs, because MLJob train is Pending with reason "
        "DependencyFailed: MLJob data (spec.confFrom[0].outputsRef) succeeded without the output 'path'."
    )


def test_runs_behind_the_conf_are_named() -> None:
    job, known = taking({"name": "data"}, {"name": "data", "keys": ["rows"]}), {"data": upstream(rows=1)}
    found = UpstreamRun(name="data", dag_run_id="run-of-data", attempt=1)
    assert dependencies(job, known) == Dependencies(("data",), runs=(found,))


def test_message_of_a_long_cycle_keeps_its_end() -> None:
    names = [f"{'n' * 100}-{number}" for number in range(50)]
    known = {one: Upstream(waits_for=(other,)) for one, other in zip(names, [*names[1:], "train"], strict=True)}
    found = dependencies(taking({"name": names[0]}), known)
    assert found.blocker is not None
    message = found.blocker.message
    assert "and 48 more wait. Remove an outputsRef" in message
    assert len(message) <= MAX_MESSAGE


def test_search_for_a_cycle_ends_in_a_long_chain() -> None:
    chain = {f"job-{n}": upstream_that(waits_for=f"job-{n + 1}") for n in range(10 * MAX_SEARCHED)}
    blocker = dependencies(taking({"name": "job-0"}), chain).blocker
    assert blocker is not None
    assert blocker.reason == "WaitingForMLJob"
    assert blocker.message == (
        "MLJob job-0 (spec.confFrom[0].outputsRef) has not succeeded yet. "
        "The run starts when MLJob job-0 has succeeded. "
        "More than 100 MLJobs come before it, so the operator has not checked that they don't wait for each other. "
        "If none of them runs, check their spec.confFrom."
    )


@pytest.mark.parametrize(("length", "found"), [(MAX_SEARCHED, True), (MAX_SEARCHED + 2, False)])
def test_cycle_is_found_or_its_search_is_told_to_have_ended(length: int, *, found: bool) -> None:
    names = [f"job-{number}" for number in range(length)]
    ring = {one: Upstream(waits_for=(other,)) for one, other in zip(names, [*names[1:], names[0]], strict=True)}
    blocker = dependencies(taking({"name": names[1]}, name=names[0]), ring).blocker
    assert blocker is not None
    assert blocker.reason == ("DependencyFailed" if found else "WaitingForMLJob")
    assert ("has not checked that they don't wait for each other" in blocker.message) is not found


def test_message_is_bounded() -> None:
    job_names = [f"{n:02}{'n' * 138}" for n in range(16)]
    failures: dict[str, Upstream | None] = {name: Upstream() for name in job_names}
    status = reported(
        job(held=False, conf_from=[{"outputsRef": {"name": name}} for name in job_names]),
        status=new(),
        upstreams=failures,
    )
    assert len(status["message"]) <= MAX_MESSAGE


def test_outputs_keep_their_types_and_their_names() -> None:
    found = Upstream(RUN, {"rows": 2000, "more.json": "[", "labels": [1, 2], "unused": None})
    taken = outputs_of(OutputsReference(name="data", keys=["rows", "more.json", "labels"]), found)
    defaults = Source("ConfigMap defaults", {"rows": "1", "seed": "7"}, secret=False)
    assert merged({"epochs": 5}, [defaults, taken]) == {
        "seed": "7",
        "rows": 2000,
        "more.json": "[",
        "labels": [1, 2],
        "epochs": 5,
    }
    assert merged({}, [taken, defaults])["rows"] == "1", "the last entry wins"


def test_outputs_are_public() -> None:
    taken = outputs_of(OutputsReference(name="data"), Upstream(RUN, {"path": "/data/1"}))
    assert not_public({"path": "/data/1", "password": "hunter2"}, {}, [taken]) == {"hunter2"}
