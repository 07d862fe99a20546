"""Checks of the final state of a simulation. Each status must agree with Airflow, and each request
of a user must be fulfilled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from mljob_contract.mljob import MLJobSpec, MLJobStatus, Phase, RunPolicy
from mljob_operator.controllers.mljob.feed_index import FeedIndex, FollowedRuns
from mljob_operator.core.mljob import attempts
from mljob_operator.core.mljob.outstanding import is_done, wants_retry
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import spec_hash
from mljob_operator.core.mljob.upstream import FAILED, WAITING, upstream_names
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.core.run.states import TERMINAL_PHASES, RunState, TaskState
from tests.fakes.airflow import FakeRun

from .airflow import active
from .world import OTHER, World

_PHASES = {
    RunState.QUEUED: {Phase.QUEUED},
    RunState.RUNNING: {Phase.RUNNING},
    RunState.SUCCESS: {Phase.SUCCEEDED},
    RunState.FAILED: {Phase.FAILED, Phase.CANCELLED, Phase.SUSPENDED},
}


def unkept(world: World) -> Iterator[str]:
    """Yield a description of each wrong state in ``world``, such as a status that differs from
    Airflow or a cancellation that was lost. Call this function when all servers work and nothing
    changes any more.
    """
    for body in world.cluster.objects.values():
        job = Job.from_object(body)
        yield from (
            f"{job.name} ({job.uid}, {job.status.phase}, {job.status.reason}): {what}" for what in _of(job, world)
        )
    yield from (f"left behind: {name}" for name in world.left_behind(in_the_end=True))
    yield from _misindexed(world)


def _misindexed(world: World) -> Iterator[str]:
    """Yield the differences between the operator's index of unfinished MLJobs and a new index of
    the same MLJobs.
    """
    for process in world.processes:
        lister = process.job_controller.lister
        for airflow in world.airflows:
            index = FeedIndex()
            for state in lister.unfinished(airflow):
                index.update(state)
            expected, found = index.of(airflow), lister.followed(airflow)
            # The times of old events are forgotten when they are asked for.
            wrong = [
                field.name
                for field in fields(FollowedRuns)
                if field.name != "events" and getattr(expected, field.name) != getattr(found, field.name)
            ]
            yield from (
                f"the index of {airflow or 'Airflow'} has {name} {getattr(found, name)}, not {getattr(expected, name)}"
                for name in wrong
            )


def _of(job: Job, world: World) -> Iterator[str]:
    status, spec = job.status, job.spec
    if job.deleting:
        yield "its deletion was lost"
        return
    waits = _waits_for_others(job)
    if waits:
        yield from _of_waiting(job, world, waits)
    if status.observed_generation != job.generation and not waits:
        yield f"generation {job.generation} was not acted on"
    airflow = world.airflows[status.airflow_instance or SETTINGS_AIRFLOW]
    run = airflow.runs.get((status.dag_id or "", status.dag_run_id or ""))
    finished = status.phase in TERMINAL_PHASES
    going = [run_id for _, run_id in world.at_work() if job.uid in world.cluster.announced[run_id]]
    by_hand = [run_id for run_id in going if run_id in world.by_hand]

    if finished and job.has_finalizer:
        yield "it is finished, and holds a finalizer"
    if status.phase is Phase.CANCELLING:
        yield "its cancellation was lost"
    queues = status.reason == "BackfillActive" and bool(list(airflow.backfills.at_work()))
    busy = any(active(run) for run in world.airflows[OTHER].ours())
    # These MLJobs wait for the other Airflow, which has reached its limit, or whose AirflowInstance
    # is being deleted and waits for the run.
    queues |= busy and status.reason in ("ConcurrencyLimit", "AirflowInstanceNotReady")
    queues |= bool(waits)
    if status.phase is Phase.PENDING and status.reason != "ValidationFailed" and not queues:
        yield f"nothing keeps it from running: {status.message}"
    if spec.cancel and not finished:
        yield "its cancellation was lost"
    if spec.suspend and not finished and status.phase is not Phase.SUSPENDED:
        yield "its suspension was lost"
    if status.phase is Phase.SUSPENDED and not spec.suspend:
        yield "its resumption was lost"
    told = {condition.reason for condition in status.conditions or ()}
    held_up = busy and not told.isdisjoint({"ConcurrencyLimit", "AirflowInstanceNotReady"})
    # A finished MLJob that is to run again is not deleted (ADR 0030).
    runs_again = wants_retry(job) or held_up or waits
    if finished and spec.ttl_seconds_after_finished is not None and not runs_again:
        yield "its time to live has passed"
    if finished and wants_retry(job) and not held_up and not waits:
        yield f"its requested retry {job.retry_request!r} was lost"
    paused = job.is_backfill and status.phase is Phase.SUSPENDED
    if (finished or (status.phase is Phase.SUSPENDED and not paused)) and set(going) - set(by_hand):
        yield f"its run goes on: {going}"
    wanted = [run_id for run_id in going if run_id not in by_hand]
    if set(wanted) - {status.dag_run_id} or len(wanted) > 1:
        yield f"an older run goes on: {going}"
    if (
        spec.run_policy is not RunPolicy.ONCE
        and not spec.cancel
        and not spec.suspend
        and status.spec_hash != spec_hash(spec)
        and not queues
        # An MLJob whose deadline passed before an Airflow could run it has ended without an
        # attempt.
        and not (finished and not status.attempts)
    ):
        yield "its last spec was not run"
    if job.is_backfill:
        yield from _of_backfill(spec, status, world)
        return
    if run is None:
        if status.phase in (Phase.QUEUED, Phase.RUNNING):
            yield "its run is not there"
        return
    if run.run_id in world.by_hand and (spec.cancel or spec.suspend):
        return
    if status.phase is Phase.PENDING or (attempts.closed(status) and not finished):
        return
    if status.phase not in _PHASES[run.state]:
        yield f"Airflow says {run.state}"
    elif differs := differences(status, run):
        yield f"Airflow says otherwise: {differs}"


def _waits_for_others(job: Job) -> str | None:
    """Return ``WAITING`` if an MLJob waits for outputs of other MLJobs, ``FAILED`` if the MLJob
    can't get these outputs, otherwise None.
    """
    told = [c.reason for c in job.status.conditions or () if c.type in ("SpecApplied", "Reconciling")]
    return next((reason for reason in (job.status.reason, *told) if reason in (WAITING, FAILED)), None)


def _of_waiting(job: Job, world: World, reason: str) -> Iterator[str]:
    there = {name: world.cluster.objects.get((job.namespace, name)) for name in upstream_names(job.spec)}
    others = {name: Job.from_object(body) for name, body in there.items() if body is not None}
    stalled = {name for name, other in others.items() if _holds(other, "Stalled")}
    ready = {name for name, other in others.items() if _holds(other, "Complete") and is_done(other)} - stalled
    if ready == there.keys():
        yield f"{', '.join(ready)} succeeded, and it waits"
    # In a cycle, every MLJob is stalled.
    if (reason == FAILED) is not bool(stalled):
        yield f"it says {reason}, and {stalled or 'no other'} is stalled"


def _holds(job: Job, kind: str) -> bool:
    return any(c.type == kind and c.status == "True" for c in job.status.conditions or ())


def _of_backfill(spec: MLJobSpec, status: MLJobStatus, world: World) -> Iterator[str]:
    backfills, run_id = world.airflow.backfills, status.dag_run_id or ""
    finished = status.phase in TERMINAL_PHASES
    made = [made for made in backfills.made.values() if made.marker is not None and made.marker.run_id == run_id]
    if not made:
        if status.phase in (Phase.QUEUED, Phase.RUNNING):
            yield "its backfill is not there"
        return
    if status.phase is Phase.PENDING or (attempts.closed(status) and not finished):
        return
    if run_id in backfills.robbed:
        # Another backfill has run some of the runs again, so the simulation does not know how they
        # had ended.
        if not finished and not any(name_id == run_id for _, name_id in backfills.at_work()):
            yield "it has ended, and the status does not say so"
        return
    states = Counter(str(run.state) for run in backfills.members(run_id))
    if states["queued"] and made[-1].paused and not made[-1].completed_at and not spec.suspend:
        yield "it is paused, and spec.suspend is false"
    if states["queued"] or states["running"]:
        wanted = {Phase.QUEUED, Phase.RUNNING, Phase.SUSPENDED}
    elif states["failed"]:
        wanted = _PHASES[RunState.FAILED]
    else:
        wanted = {Phase.SUCCEEDED} if made[-1].completed_at or states else {Phase.QUEUED}
    if status.phase not in wanted:
        yield f"Airflow says {dict(states)}"
    told = status.backfill.runs.model_dump() if status.backfill else {}
    counts = {state: number for state, number in told.items() if number and state not in ("total", "not_created")}
    if status.phase is not Phase.SUSPENDED and counts != states:
        yield f"Airflow says {dict(states)}, the status {counts}"


def differences(status: MLJobStatus, run: FakeRun) -> dict[str, Any]:
    """Return the differences between a status and the run in Airflow. Each key is a task id or a
    field of the status. Each value is a pair: what the status says, and what Airflow says.
    """
    told = {
        task.task_id: (Counter(task.mapped.states) if task.mapped else Counter({task.state: 1}), task.try_number)
        for task in status.tasks or ()
    }
    rows = defaultdict(list)
    for fact in run.tasks.values():
        rows[fact.task_id].append(fact)
    true = {
        task_id: (Counter(str(fact.state) for fact in facts), max(fact.try_number for fact in facts))
        for task_id, facts in rows.items()
    }
    # Skipped tasks count as succeeded, unless the run failed.
    counted = {TaskState.SUCCESS} if run.state is RunState.FAILED else {TaskState.SUCCESS, TaskState.SKIPPED}
    succeeded = sum(fact.state in counted for fact in run.tasks.values())
    found: dict[str, Any] = {
        task_id: (told.get(task_id), true.get(task_id))
        for task_id in told.keys() | true.keys()
        if told.get(task_id) != true.get(task_id)
    }
    if (progress := f"{succeeded}/{len(run.tasks)}") != status.progress:
        found["progress"] = (status.progress, progress)
    if status.dag_run_state != run.state:
        found["dagRunState"] = (status.dag_run_state, str(run.state))
    counts = status.task_counts.model_dump() if status.task_counts else {}
    states = Counter(str(fact.state) for fact in run.tasks.values())
    if {state: n for state, n in counts.items() if n and state != "total"} != dict(states):
        found["taskCounts"] = (counts, states)
    return found
