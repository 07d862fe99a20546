"""Rules that the operator's decisions and statuses obey in every situation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import situations as s
from .situations import Given, Stage, Store, Wait, ago, classified, decided, later, reported, status_of, stored

NUMBERS = st.integers(1, 3)
TIMES = st.sampled_from([ago(4000), ago(601), ago(100), ago(31), ago(10), ago(5), ago(2), s.NOW])
AHEAD = st.sampled_from([ago(5), s.NOW, later(5), later(30)])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def some_of(draw: st.DrawFn, strategies: dict[str, st.SearchStrategy[Any]], at_most: int) -> dict[str, Any]:
    """Draw values for at most ``at_most`` of the fields in ``strategies``. With a value for every
    field, nearly every MLJob would be cancelled, deleted and refused at the same time.
    """
    names = draw(st.lists(st.sampled_from(sorted(strategies)), max_size=at_most, unique=True))
    return {name: draw(strategies[name]) for name in names}


seconds = st.sampled_from([1, 60, 600, 7200])
specs = some_of(
    {
        "run_policy": st.sampled_from(["Once", "OnChange", "OncePerSpec"]),
        "suspend": st.just(True),
        "cancel": st.just(True),
        "active_deadline_seconds": seconds,
        "pre_running_deadline_seconds": seconds,
        "backoff_limit": st.integers(1, 3),
        "retry_strategy": st.just("NewRun"),
        "ttl_seconds_after_finished": st.sampled_from([0, 50, 7200]),
        "deletion_policy": st.just("Retain"),
        "cancellation": st.sampled_from([{"strategy": "Api"}, {"timeoutSeconds": 60}]),
        "airflow_ref": st.sampled_from([{"name": "prod"}, {"name": "gone"}]),
        "conf": st.sampled_from([{"epochs": 3}, "no object"]),
        "conf_from": st.just([{"outputsRef": {"name": "data"}}]),
    },
    at_most=3,
)
objects = some_of(
    {
        "held": st.just(False),
        "deleted": st.sampled_from([ago(400), ago(5)]),
        "generation": st.just(2),
        "retry": st.just("now"),
    },
    at_most=2,
)
earlier_specs = st.sampled_from([{}, {}, {}, {"dag_id": "other"}])
airflows = st.sampled_from(["", "", "", "prod", "gone"])
reasons = [
    "Cancelling",
    "CancelRequested",
    "DeadlineExceeded",
    "PreRunningDeadlineExceeded",
    "Suspending",
    "SpecChanged",
]
conditions = st.sampled_from(["Suspended", "Suspending", "Resuming", "Resumed"]).map(
    lambda reason: [
        {
            "type": "Suspended",
            "status": "True" if reason == "Suspended" else "False",
            "reason": reason,
            "lastTransitionTime": "2026-01-01T11:00:00Z",
        }
    ]
)


@st.composite
def statuses(draw: st.DrawFn) -> s.Stored:
    number = draw(NUMBERS)
    more: dict[str, Any] = {"ran": draw(earlier_specs), "airflow": draw(airflows), "run": draw(st.integers(1, number))}
    if number > 1:
        last = draw(st.sampled_from(["Failed", "Cancelled", "Succeeded"]))
        run = draw(st.integers(1, more["run"]))
        more["history"] = (s.ended(number - 1, last, run=run, ran=draw(earlier_specs), at=draw(TIMES)),)
        more["failures"] = draw(st.sampled_from([None, 1, 2]))
    if draw(st.booleans()):
        more["conditions"] = draw(conditions)
    if draw(st.booleans()):
        more["upstreams"] = [s.upstream_run()]
    more["active"] = draw(st.sampled_from([s.ACTIVE, ago(30), None]))
    more["last_handled_retry"] = draw(st.sampled_from([None, "before", "now"]))
    kind = draw(st.sampled_from(["new", "submitting", "under way", "cancelling", "finished", "retrying", "suspended"]))
    match kind:
        case "new":
            return s.new(active=more["active"])
        case "submitting":
            return s.submitting(number, **more)
        case "under way":
            phase = draw(st.sampled_from(["Queued", "Running", "Suspended"]))
            return s.under_way(number, phase=phase, **more)
        case "cancelling":
            submitted = draw(st.sampled_from([s.QUEUED, None]))
            return s.cancelling(draw(st.sampled_from(reasons)), number, submitted=submitted, **more)
        case "finished":
            phase = draw(st.sampled_from(["Succeeded", "Failed", "Cancelled"]))
            return s.finished(phase, number=number, submitted=draw(st.sampled_from([s.QUEUED, None])), **more)
        case "retrying":
            more["failures"] = draw(NUMBERS)
            return s.retrying(number, at=draw(TIMES), **more)
        case _:
            more.pop("history", None)
            return s.suspended(number, at=draw(TIMES), **more)


tasks = st.lists(
    st.builds(
        s.task,
        st.sampled_from(["extract", "fit", "score"]),
        st.sampled_from(["none", "queued", "running", "deferred", "up_for_reschedule", "awaiting_input"])
        | st.sampled_from(["up_for_retry", "success", "failed", "skipped"]),
        index=st.sampled_from([-1, -1, 0, 1]),
        at=TIMES,
        error=maybe(st.just(("ValueError", "no such column"))),
        asks=maybe(st.just("Deploy?")),
        asked=st.booleans(),
        event=st.booleans(),
    ),
    max_size=3,
)
heard = maybe(st.builds(s.run_event, st.sampled_from(["running", "success", "failed"]), TIMES))


@st.composite
def runs(draw: st.DrawFn) -> Any:
    ends = {"listed": draw(st.booleans()), "end": draw(maybe(TIMES)), "read": draw(TIMES)}
    rows = draw(tasks)
    match draw(st.sampled_from(["unread", "queued", "running", "succeeded", "failed", "cleared"])):
        case "unread":
            known = s.unread(*rows, reported=draw(heard))
        case "queued":
            known = s.queued(*rows, reported=draw(heard))
        case "running":
            known = s.running(*rows, reported=draw(heard))
        case "succeeded":
            known = s.succeeded(*rows, **ends)
        case "failed":
            known = s.failed(*rows, **ends)
        case _:
            known = s.running(*rows, queued_at=draw(TIMES))
    if draw(st.integers(0, 3)) == 0:
        known = s.not_found(since=draw(TIMES), again=draw(st.booleans()), after=known)
    return known


words = st.sampled_from(["queued", "running", "success", "failed"])
dates = st.sampled_from(["2025-12-01", "2025-12-02", "2025-12-03"])
backfills = st.builds(
    s.backfill,
    st.dictionaries(dates, words, max_size=3),
    reported=maybe(st.dictionaries(dates, words, max_size=2)),
    paused=st.booleans(),
    not_created=st.integers(0, 1),
    completed=maybe(TIMES),
    listed=st.booleans(),
)
troubles = st.builds(
    s.error,
    st.sampled_from(["AirflowUnavailable", "ValidationFailed"]),
    again=AHEAD,
    generation=st.sampled_from([1, 2]),
    starting=st.booleans(),
    stalls=st.booleans(),
)
ELSEWHERE = s.catalog(
    instances={"prod": s.instance()}, settings_access=[{}], default="prod", not_ready={"prod": "Check spec.url."}
)
catalog = st.sampled_from(
    [
        s.catalog(),
        s.catalog(),
        s.catalog(full=["", "prod"], instances={"prod": s.instance()}, settings_access=[{}]),
        s.catalog(not_ready={"": "Check MLJOB_AIRFLOW_URL."}),
        s.catalog(not_ready={"": s.NOT_ASKED_YET}),
        s.catalog(not_ready={"": s.vanished_message("")}),
        s.catalog(settings_access=[{"namespaceSelector": {"matchLabels": {"tier": "gold"}}}], labels_pending=True),
        s.catalog(settings_access=[{"credentials": {"tokenSecretRef": {"name": "team-a"}}}]),
        s.catalog(settings_airflow=False, default=s.NO_DEFAULT),
        s.catalog(settings_access=[{"dags": ["other"]}]),
        ELSEWHERE,
    ]
)
tried = some_of(
    {
        "restarted": st.just(True),
        "error": troubles,
        "kept_by": st.just("DAG train is not there."),
        "newest": st.integers(0, 2),
        "counted_at": TIMES,
        "unknown_until": AHEAD,
        "left_until": AHEAD,
        "nothing_to_clear": st.just(True),
        "conf_lost": st.just(True),
        "cancel_dag_at": TIMES,
        "cancel_dag_checked": TIMES,
        "cancel_dag_running": st.just(True),
        "cancel_dag_refused": st.just("the cancellation DAG is paused"),
        "cancelled_at": TIMES,
        "noted": st.just(True),
        "children_seen": st.just(True),
        "looked_up": TIMES,
        "read_at": TIMES,
        "needs_look_up": st.just(True),
        "resumed": st.sampled_from([1, 2]),
        "halt": st.sampled_from(["DagPaused", "DagStale"]),
        "refused": st.just(True),
        "vanished": st.just(True),
    },
    at_most=5,
)
upstreams = st.sampled_from(
    [
        {"data": s.upstream()},
        {"data": s.upstream()},
        {"data": s.upstream(attempt=2)},
        {"data": None},
        {"data": s.upstream_that("is Failed with reason TaskFailed: out of memory")},
        {"data": s.upstream_that(waits_for="train")},
        {},
    ]
)


@st.composite
def situations(draw: st.DrawFn) -> Given:
    spec, status, known = draw(specs), draw(statuses()), draw(tried)
    if draw(st.integers(0, 3)) == 0:
        job, run = s.backfill_job(**spec, **draw(objects)), draw(st.just(s.unread()) | backfills)
    else:
        job, run = s.job(**spec, **draw(objects)), draw(runs())
    if status.completed is not None and draw(st.integers(0, 2)) == 0:
        job = replace(job, restored=True)
    if status.attempt is None:
        run = s.unread()
    begun = None
    if draw(st.integers(0, 5)) == 0:
        number = status.attempt.number + 1 if status.attempt is not None else 1
        begun, run = s.attempt(number, run=number), s.unread()
    known |= {"upstreams": draw(upstreams), "upstreams_known_at": draw(maybe(TIMES))}
    return Given(job=job, status=status, run=run, begun=begun, catalog=draw(catalog), **known)


@st.composite
def without_a_run(draw: st.DrawFn) -> Given:
    situation = draw(situations())
    ended = [s.new(), s.retrying(at=ago(601)), s.suspended(), s.finished("Failed")]
    return replace(
        situation,
        job=replace(situation.job, restored=False, deleted=None),
        status=draw(st.sampled_from(ended)),
        run=s.unread(),
        begun=None,
    )


@st.composite
def vanished(draw: st.DrawFn) -> Given:
    """Draw a situation in which the runs of many MLJobs are missing in Airflow."""
    airflow = draw(st.sampled_from(["", "prod"]))
    before, situation = draw(st.sampled_from([s.unread(), s.queued(), s.running()])), draw(situations())
    return replace(
        situation,
        job=replace(situation.job, restored=False),
        status=s.under_way(airflow=airflow, phase=draw(st.sampled_from(["Queued", "Running", "Suspended"]))),
        run=s.not_found(since=draw(TIMES), again=draw(st.booleans()), after=before),
        begun=None,
        vanished=True,
        catalog=s.catalog(
            instances={"prod": s.instance()}, settings_access=[{}], not_ready={airflow: s.vanished_message(airflow)}
        ),
    )


everywhere = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@everywhere
@given(situations())
def test_the_status_is_stored_only_if_it_has_changed(situation: Given) -> None:
    action = decided(situation)
    assert decided(situation) == action, "the same inputs, another decision"
    if action == Store():
        status = reported(situation)
        assert status != status_of(situation)
        assert decided(stored(situation, status)) != Store()


@everywhere
@given(situations())
def test_a_status_that_was_just_stored_stays_as_it_is(situation: Given) -> None:
    before, status = status_of(situation), reported(situation)
    after = reported(stored(situation, status))
    # After the beginning or the end of an attempt, the status may change once more. If the time of
    # the end changes, so does the earliest start of a requested retry.
    if _ends(before) == _ends(status):
        assert after == status
    assert reported(stored(situation, after)) == after


def _ends(status: dict[str, Any]) -> tuple[object, bool, bool, object]:
    number, entries = status.get("attempts"), status.get("history") or [{}]
    finished = status.get("phase") in ("Succeeded", "Failed", "Cancelled")
    return number, finished, entries[-1].get("attempt") == number, status.get("completionTime")


@everywhere
@given(situations())
def test_no_wait_is_over_before_it_begins(situation: Given) -> None:
    action = decided(situation)
    if isinstance(action, Wait) and action.until is not None and action.until <= situation.now:
        # Such a wait is allowed until the computed status is stored.
        action = decided(stored(situation, reported(situation)))
    assert not isinstance(action, Wait) or action.until is None or action.until > situation.now


FIELDS = "spec|dagId|conf|airflowRef|backoffLimit|activeDeadlineSeconds|preRunningDeadlineSeconds|runPolicy"
SETTINGS = "MLJOB_[A-Z_]+"
OBJECTS = "AirflowInstance [a-z]+|DAG [a-z]+|Task [a-z]+|backfill [0-9]+|[0-9]+ runs?|page|log"
ACTIONS = "Create|Change|Correct|Delete|Set|set|deleted|run again"
WAY_OUT = re.compile(rf"\b({FIELDS}|{SETTINGS}|{OBJECTS}|{ACTIONS})\b")
WAITS_FOR = re.compile(
    r"\b(Waiting until .+ read\.|Waiting for .+\.|The run starts when .+ succeeded\.|When a run ends, .+ go first)"
)
ACCEPT_LOSS = re.compile(
    r"`helm upgrade` .+ airflow\.acceptVanishedRunsBefore=|`kubectl annotate airflowinstance prod .+ mljob\.dev/accept-vanished-runs="
)


@everywhere
@given(situations())
def test_every_status_says_why_and_one_that_is_stalled_names_a_way_out(situation: Given) -> None:
    status = reported(situation)
    assert status["phase"]
    assert status["reason"]
    assert status["message"]
    for condition in status["conditions"]:
        stalled = (condition["type"], condition["status"]) == ("Stalled", "True")
        if stalled and condition["reason"] != "Cancelled":
            assert WAY_OUT.search(condition["message"]), condition["message"]


@everywhere
@given(without_a_run())
def test_blocked_mljob_names_a_way_out_or_what_it_waits_for(situation: Given) -> None:
    if classified(situation).stage is not Stage.BLOCKED:
        return
    (condition,) = (
        each
        for each in reported(situation)["conditions"]
        if each["type"] in ("Reconciling", "Stalled") and each["status"] == "True"
    )
    ways = (WAY_OUT,) if condition["type"] == "Stalled" else (WAY_OUT, WAITS_FOR)
    assert any(way.search(condition["message"]) for way in ways), condition["message"]


@everywhere
@given(vanished())
def test_mljob_whose_run_vanished_names_the_command_that_accepts_the_loss(situation: Given) -> None:
    status = reported(situation)
    if status["reason"] != "RunsVanished":
        return
    assert ACCEPT_LOSS.search(status["message"]), status["message"]
