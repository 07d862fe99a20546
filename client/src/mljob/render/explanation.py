"""The explanation of an MLJob's state: a sentence, the failed task with its error, and possible
actions.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..endings import failed_task
from ..resource import MLJob
from ..text import plain
from ..verdict import retry_is_suspended, retry_waits
from . import fields, states, times
from .rows import MAX_MESSAGE, MAX_NAME, is_all_right, sentence
from .tasks import Task, tasks_of
from .waits import waits_for_run, waits_since

MAX_FACTS = 10
_MAX_URL = 2_000


@dataclass(frozen=True, slots=True)
class WayOut:
    """An action that a person can take.

    Attributes:
        text: The action in a sentence.
        command: The shell command for the action, or an empty text.
    """

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of an MLJob's state.

    Attributes:
        name: The name of the MLJob.
        sign: The icon and the word of the state.
        reason: The reason of the phase, in one word.
        sentence: The state in words: see :func:`~mljob.render.rows.sentence`.
        task: The failed task, else a task that waits for input or for a retry, else None.
        facts: Pairs of a name and a value, such as the number of attempts.
        ways_out: The actions that a person can take, the best action first.
        needs_log: Whether ``task`` has failed or waits for a retry. The end of the task's log then
            helps to find the cause.
    """

    name: str
    sign: states.Sign
    reason: str
    sentence: str
    task: Task | None
    facts: tuple[tuple[str, str], ...]
    ways_out: tuple[WayOut, ...]
    needs_log: bool

    @property
    def map_index(self) -> int | None:
        """The map index of the first failed instance of ``task``. None if no instance has failed, or
        if ``task`` is not a mapped task.
        """
        return self.task.failed[0] if self.task is not None and self.task.failed else None


def explain(job: MLJob, now: datetime, scope: str = "") -> Explanation:
    """Return the explanation of an MLJob's state.

    Args:
        job: The MLJob.
        now: The current time, for durations.
        scope: The options that select the cluster and the namespace, such as ``-n team-a``. The
            suggested commands about MLJobs contain these options.
    """
    tasks = tasks_of(job.raw_status)
    failed = failed_task(job)
    task = next((each for each in tasks if failed is not None and each.task_id == failed.task_id), None)
    if task is None:
        task = next((each for each in tasks if each.state in ("awaiting_input", "up_for_retry")), None)
    return Explanation(
        name=plain(job.name, MAX_NAME),
        sign=states.of_phase(job.phase, retry_waits=retry_waits(job)),
        reason=plain(job.reason, MAX_NAME),
        sentence=sentence(job),
        task=task,
        facts=tuple(_facts(job, now))[:MAX_FACTS],
        ways_out=tuple(_ways_out(job, task, scope)),
        needs_log=task is not None and task.state in ("failed", "up_for_retry"),
    )


def safe_url(url: str) -> str:
    """Return the URL if it is safe to show as a link, else an empty text. A safe URL begins with
    ``http://`` or ``https://``. It has at most 2000 characters, and contains no spaces, control
    characters or invisible characters.
    """
    shown = plain(url, _MAX_URL)
    return shown if shown == url and shown.startswith(("https://", "http://")) and " " not in shown else ""


def _facts(job: MLJob, now: datetime) -> list[tuple[str, str]]:
    status = job.raw_status
    started = None if waits_for_run(job) else fields.time(status, "startTime")
    ended = fields.time(status, "completionTime")
    attempts = fields.whole(status, "attempts")
    facts = [
        ("DAG", plain(fields.text(status, "dagId") or job.dag_id, MAX_NAME)),
        ("Airflow", plain(fields.text(status, "airflowInstance"), MAX_NAME)),
        ("Progress", plain(fields.text(status, "progress"), MAX_NAME)),
        ("Attempt", "" if attempts is None else _attempt(job, attempts)),
        ("Took" if ended else "Running", times.duration(times.between(started, ended or now))),
        ("Ended", f"{times.duration(times.between(ended, now))} ago" if ended else ""),
        ("Run", safe_url(fields.text(status, "dagRunUrl"))),
        ("Waiting", times.duration(times.between(waits_since(job), now))),
    ]
    omitted = status.get("outputsOmitted")
    if isinstance(omitted, list) and omitted:
        facts.append(("Outputs left out", plain(", ".join(map(str, omitted)), MAX_MESSAGE)))
    return [(name, value) for name, value in facts if value]


def _attempt(job: MLJob, attempts: int) -> str:
    limit = fields.whole(job.raw_spec, "backoffLimit") or 0
    failed = fields.whole(job.raw_status, "failedAttempts") or 0
    return f"{attempts}" + (f", {failed} failed of {limit + 1} allowed" if limit else "")


def _ways_out(job: MLJob, task: Task | None, scope: str) -> list[WayOut]:
    name = f"{shlex.quote(plain(job.name, MAX_NAME))}{f' {scope}' if scope else ''}"
    if job.is_being_deleted:
        return []
    if task is not None and task.state == "awaiting_input":
        return [WayOut(f"Answer on {safe_url(task.url)}" if safe_url(task.url) else "Answer in Airflow.")]
    found = [] if is_all_right(job) else _by_phase(job, name)
    found += _by_reason(job, name, scope)
    if job.is_true("UnknownParams"):
        found.append(_unknown_params(job, name))
    return found


def _by_phase(job: MLJob, name: str) -> list[WayOut]:
    if retry_waits(job):
        return [WayOut("Resume it.", f"kubectl mljob resume {name}")] if retry_is_suspended(job) else []
    if job.phase == "Failed" and not job.is_true("Reconciling"):
        strategy = fields.text(job.raw_spec, "retryStrategy") or "ClearFailed"
        what = "what failed runs again" if strategy == "ClearFailed" else "all tasks run again"
        return [WayOut(f"When the cause is gone, retry: {what}.", f"kubectl mljob retry {name}")]
    if job.phase == "Suspended":
        return [WayOut("Resume it.", f"kubectl mljob resume {name}")]
    if job.phase == "Cancelled":
        return [WayOut("A cancelled MLJob stays so. To run it again, create an MLJob with another name.")]
    return []


def _unknown_params(job: MLJob, name: str) -> WayOut:
    # The run was submitted, so runPolicy decides whether a change of the conf runs. After a cancellation no change does.
    policy = fields.text(job.raw_spec, "runPolicy")
    if policy in ("OnChange", "OncePerSpec") and job.raw_spec.get("cancel") is not True:
        return WayOut("Correct the keys of the conf. The corrected conf runs again.", f"kubectl edit mljob {name}")
    return WayOut(
        "To correct the keys of the conf, create an MLJob with another name, or delete this one and apply it corrected."
    )


def _by_reason(job: MLJob, name: str, scope: str) -> list[WayOut]:
    make = _BY_REASON.get(job.reason)
    return [] if make is None else make(name, job, scope)


def _edit(what: str) -> Callable[[str, MLJob, str], list[WayOut]]:
    return lambda name, _job, _scope: [WayOut(what, f"kubectl edit mljob {name}")]


def _airflows(what: str, verb: str) -> Callable[[str, MLJob, str], list[WayOut]]:
    # kubectl ignores the namespace in the scope, because AirflowInstances have none.
    return lambda _name, _job, scope: [WayOut(what, f"kubectl {verb} airflowinstances {scope}".rstrip())]


def _other_jobs(name: str, job: MLJob, scope: str) -> list[WayOut]:
    sources = (fields.child(source, "outputsRef") for source in fields.children(job.raw_spec, "confFrom"))
    others = [plain(fields.text(source, "name"), MAX_NAME) for source in sources if source]
    shown = shlex.quote(others[0]) if len(others) == 1 else "NAME"
    listed = f": {', '.join(others)}" if len(others) > 1 else ""
    return [
        WayOut(f"See the state of the other MLJob{listed}.", f"kubectl mljob why {shown} {scope}".rstrip()),
        WayOut(
            "Or, if an outputsRef has a wrong name or wrong keys, correct the outputsRef. The MLJob continues by itself.",
            f"kubectl edit mljob {name}",
        ),
    ]


def _invalid(name: str, job: MLJob, _scope: str) -> list[WayOut]:
    if _OWN_FIELD.search(job.message):
        return [
            WayOut("Correct the field that the message names. It continues by itself.", f"kubectl edit mljob {name}")
        ]
    return [WayOut("The cause is not in the spec of this MLJob: do what the message says.")]


_OWN_FIELD = re.compile(r"\bspec\.(?!access\b|confFrom\b(?!\.\w))\w")
"""A field of the MLJob's spec in a message. These are none: ``its spec.access`` of an
AirflowInstance, ``spec.confFrom[0] (ConfigMap params).epochs``, which is a value in the ConfigMap,
and ``an object of spec.confFrom``.
"""
_BY_REASON: dict[str, Callable[[str, MLJob, str], list[WayOut]]] = {
    "ValidationFailed": _invalid,
    "DagNotFound": _edit("If the DAG's id is misspelt, correct spec.dagId. It continues by itself."),
    "WaitingForMLJob": _other_jobs,
    "DependencyFailed": _other_jobs,
    "AirflowInstanceNotFound": _airflows("See which Airflows there are.", "get"),
    "NoDefaultAirflow": _airflows("See which Airflows there are.", "get"),
    "AirflowInstanceNotReady": _airflows("See why it is not ready.", "describe"),
    "ReferenceMissing": lambda *_: [WayOut("Create the object that the message names. It continues by itself.")],
    "DagPaused": lambda *_: [WayOut("Unpause the DAG in Airflow. It continues by itself.")],
}
"""The ways out for reasons whose message names no command."""
