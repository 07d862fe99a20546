"""The MLJobs whose outputs another MLJob uses (``spec.confFrom[].outputsRef``).

If MLJob B uses outputs of MLJob A, A is upstream of B, as with tasks in Airflow. An MLJob that has
never run gets the operator's finalizer and a place in the admission queue only after all its
upstream MLJobs have succeeded.

If A is Stalled, and B waits for outputs of A, B becomes Stalled too. So do the MLJobs that wait for
outputs of B, and so on. When A is not Stalled any more, these MLJobs recover by themselves, unless
they have another reason to be Stalled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any

from mljob_contract.mljob import Condition, ConditionStatus, MLJobSpec, OutputsReference, Phase, UpstreamRun

from ..airflow_instance.catalog import Blocker
from ..conf.conf import Source, has_secrets
from ..conf.redaction import HIDDEN
from ..frozen import frozen
from ..run.outputs import ALL_OUTPUTS
from ..text.storable import cut
from .cycle import MAX_SEARCHED, find_cycle
from .outstanding import is_done
from .resource.job import Job

WAITING = "WaitingForMLJob"
"""The reason of an MLJob that waits for the success of another MLJob."""
FAILED = "DependencyFailed"
"""The reason of an MLJob that gets no outputs unless another MLJob changes."""
MAX_QUOTED = 400
"""The maximum length of the text that is quoted from an upstream MLJob, in characters."""
READ_AGAIN_AFTER = timedelta(minutes=5)
"""The time after which an upstream MLJob is read again while another MLJob waits for it. Usually
the watch reports a change at once. After an interruption of the watch, a deletion may be unknown.
"""
CONTINUES = " The run starts if that MLJob succeeds after all."
"""The end of the message of an MLJob whose upstream MLJob has failed."""
AGAIN = "Create it again, with a longer spec.ttlSecondsAfterFinished if it has one"
"""What to do about an MLJob that was deleted before its outputs were taken."""
NOT_SEARCHED = (
    f"More than {MAX_SEARCHED} MLJobs come before it, so the operator has not checked that they don't wait for each "
    "other. If none of them runs, check their spec.confFrom."
)
"""The end of the message of an MLJob that waits for so many MLJobs that a cycle is not found."""
LACKS = "gets no outputs, because "
"""The beginning of :attr:`Upstream.failure` for an upstream MLJob that itself waits for a failed
MLJob. The name and the failure of the first failed MLJob follow.
"""


@frozen
class Upstream:
    """What the operator knows of an MLJob whose outputs another MLJob uses.

    Attributes:
        run: The run that succeeded for the current spec, once its outputs are read completely. None
            if there is no such run.
        outputs: The outputs of ``run``.
        omitted: The entries of ``status.outputsOmitted``.
        failure: Why the MLJob can't succeed without a change, such as "is Failed with reason
            TaskFailed: ...". None if the MLJob has succeeded or may still succeed.
        suspended: Whether the MLJob is suspended.
        deleted: Whether the MLJob has succeeded and was deleted before its outputs were used.
        waits_for: The names of the MLJobs for whose outputs this MLJob waits.
        has_secrets: Whether the conf of ``run`` contains texts from Secrets. If so, ``***`` may
            stand in place of these texts in ``outputs``.
    """

    run: UpstreamRun | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    failure: str | None = None
    suspended: bool = False
    deleted: bool = False
    waits_for: tuple[str, ...] = ()
    has_secrets: bool = False

    @classmethod
    def of(cls, job: Job) -> Upstream:
        """Return the :class:`Upstream` of an MLJob."""
        status = job.status
        conditions = {condition.type: condition for condition in status.conditions or ()}
        reconciling, stalled = conditions.get("Reconciling"), conditions.get("Stalled")
        waits = reconciling is not None and reconciling.reason in (WAITING, FAILED)
        waits_for = upstream_names(job.spec) if waits else ()
        if stalled is not None and _is_true_for_current_spec(stalled, job):
            failure = _passed_on(stalled.message) if stalled.reason == FAILED else None
            if failure is None:
                failure = f"is {status.phase} with reason {stalled.reason}: {cut(stalled.message, MAX_QUOTED)}"
            return cls(failure=failure, waits_for=waits_for)
        # An MLJob that is about to run another spec keeps the phase of the run before.
        current = status.observed_generation == job.generation
        current = current and status.spec_hash in (None, "", job.parsed.hash)
        if status.phase is not Phase.SUCCEEDED or not is_done(job) or not current or status.dag_run_id is None:
            return cls(suspended=status.phase is Phase.SUSPENDED, waits_for=waits_for)
        return cls(
            run=UpstreamRun(name=job.name, dag_run_id=status.dag_run_id, attempt=status.attempts or 1),
            outputs=status.outputs or {},
            omitted=tuple(status.outputs_omitted or ()),
            has_secrets=has_secrets(job.spec),
        )


@frozen
class Dependencies:
    """The MLJobs whose outputs the conf of an MLJob's next run uses (the upstream MLJobs), and
    whether all these outputs exist.

    Attributes:
        names: The names of the upstream MLJobs.
        unread: Whether at least one of the upstream MLJobs was not read yet.
        blocker: Why the conf can't use the outputs now, or None if all outputs exist.
        runs: The runs whose outputs the conf uses. Empty if there is a blocker.
    """

    names: tuple[str, ...] = ()
    unread: bool = False
    blocker: Blocker | None = None
    runs: tuple[UpstreamRun, ...] = ()


NO_DEPENDENCIES = Dependencies()
"""The dependencies of an MLJob that takes no outputs."""


def upstream_names(spec: MLJobSpec) -> tuple[str, ...]:
    """Return the names of the MLJobs whose outputs a spec uses, each name once, in the order of the
    spec.
    """
    return tuple(dict.fromkeys(reference.name for _, reference in _references(spec)))


def dependencies(job: Job, upstreams: Mapping[str, Upstream | None]) -> Dependencies:
    """Return the :class:`Dependencies` of an MLJob: the MLJobs whose outputs ``job`` uses, and
    whether all these outputs exist.

    Args:
        job: The MLJob.
        upstreams: The :class:`Upstream` of each MLJob on which ``job`` depends, directly or through
            other MLJobs. The key is the MLJob's name. The value is None if the MLJob does not
            exist. An MLJob that was not read yet has no entry.
    """
    names = upstream_names(job.spec)
    if not names:
        return NO_DEPENDENCIES
    if unread := tuple(name for name in names if name not in upstreams):
        return Dependencies(
            names,
            True,
            Blocker(WAITING, f"Waiting until {_listed(unread)} {'is' if len(unread) == 1 else 'are'} read."),
        )
    search = find_cycle(job.name, names, lambda name: _waits_for(upstreams.get(name)))
    if search.members:
        return Dependencies(names, blocker=Blocker(FAILED, search.message, stalls=True))
    waits: dict[str, str] = {}
    for index, reference in _references(job.spec):
        what = f"MLJob {reference.name} (spec.confFrom[{index}].outputsRef)"
        upstream = upstreams[reference.name]
        if (failure := _failure(what, reference, upstream)) is not None:
            return Dependencies(names, blocker=Blocker(FAILED, failure, stalls=True))
        if upstream is None or upstream.run is None:
            waits.setdefault(reference.name, f"{what} {_progress(job.namespace, upstream)}.")
    if waits:
        have = "has" if len(waits) == 1 else "have"
        ends = [f"The run starts when {_listed(tuple(waits))} {have} succeeded."]
        if not search.complete:
            ends.append(NOT_SEARCHED)
        return Dependencies(names, blocker=Blocker(WAITING, " ".join([*waits.values(), *ends])))
    found = (upstreams[name] for name in names)
    return Dependencies(names, runs=tuple(upstream.run for upstream in found if upstream is not None and upstream.run))


def outputs_of(reference: OutputsReference, upstream: Upstream) -> Source:
    """Return a :class:`.Source` with the outputs of ``upstream`` that ``reference.keys`` names. If
    ``reference.keys`` is None, return all outputs. Outputs that ``upstream`` does not have are left
    out.
    """
    keys = upstream.outputs if reference.keys is None else reference.keys
    taken = {key: upstream.outputs[key] for key in keys if key in upstream.outputs}
    return Source(f"the outputs of MLJob {reference.name}", taken, secret=False, typed=True)


def _references(spec: MLJobSpec) -> Iterator[tuple[int, OutputsReference]]:
    for index, source in enumerate(spec.conf_from):
        if source.outputs_ref is not None:
            yield index, source.outputs_ref


def _is_true_for_current_spec(condition: Condition, job: Job) -> bool:
    return condition.status is ConditionStatus.TRUE and condition.observed_generation == job.generation


_OF_UPSTREAM = re.compile(rf"(MLJob \S+) \(spec\.confFrom\[\d+\]\.outputsRef\) ((?:is |{LACKS}).*)", re.DOTALL)
"""The message of an MLJob whose upstream MLJob has failed: the upstream MLJob and its failure."""


def _passed_on(message: str) -> str | None:
    """Return the :attr:`Upstream.failure` of an MLJob that is Stalled because an upstream MLJob is
    Stalled. Return None if ``message`` gives another reason.

    The upstream MLJob may also be Stalled because of an MLJob further upstream, and so on. The
    failure names only the MLJob that has the original problem. So the text stays short.

    Args:
        message: The message of the MLJob's condition Stalled.
    """
    found = _OF_UPSTREAM.fullmatch(message.removesuffix(CONTINUES))
    if found is None:
        return None
    name, failure = found.groups()
    return failure if failure.startswith(LACKS) else f"{LACKS}{name} {failure}"


def _waits_for(upstream: Upstream | None) -> tuple[str, ...]:
    return upstream.waits_for if upstream is not None else ()


def _progress(namespace: str, upstream: Upstream | None) -> str:
    if upstream is None:
        return f"does not exist in namespace {namespace}"
    if upstream.deleted:
        return f"has succeeded, but was deleted from namespace {namespace} before its outputs were taken. {AGAIN}"
    return "is suspended" if upstream.suspended else "has not succeeded yet"


def _failure(what: str, reference: OutputsReference, upstream: Upstream | None) -> str | None:
    """Return a message that says why the outputs in ``reference`` can't become available without a
    change. Return None if these outputs are available or may still become available. ``what`` names
    the upstream MLJob in the message.
    """
    if upstream is None:
        return None
    if upstream.failure is not None:
        return f"{what} {upstream.failure.rstrip('.')}.{CONTINUES}"
    if upstream.run is None:
        return None
    if (lost := next((entry for entry in upstream.omitted if entry.startswith(f"{ALL_OUTPUTS} (")), None)) is not None:
        return f"{what} succeeded, but its outputs are lost: {lost} (status.outputsOmitted). Run that MLJob again."
    if reference.keys is None and upstream.omitted:
        return (
            f"{what} succeeded without some of its outputs: {_quoted(upstream.omitted)} (status.outputsOmitted). "
            "Name the outputs that the conf needs in keys."
        )
    for key in reference.keys or ():
        if key not in upstream.outputs:
            return f"{what} succeeded without the output {key!r}. {_why_lacking(key, upstream)}"
    if upstream.has_secrets:
        for key, value in outputs_of(reference, upstream).data.items():
            if HIDDEN in json.dumps(value, ensure_ascii=False):
                return (
                    f"{what} has the output {key!r}, in which a value from a Secret is replaced by {HIDDEN}. "
                    "Let its task publish what is not secret, or take other outputs with keys."
                )
    return None


def _why_lacking(key: str, upstream: Upstream) -> str:
    if any(entry == key or entry.startswith(f"{key} (") for entry in upstream.omitted):
        return "The output was too large or not JSON: its status.outputsOmitted and the log of its task say more."
    if not upstream.outputs:
        return "It has no outputs."
    return f"Its outputs are {_quoted(tuple(sorted(upstream.outputs)))}. Correct keys, or the task that publishes the outputs."


def _listed(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"MLJob {names[0]}"
    return f"MLJobs {', '.join(names[:-1])} and {names[-1]}"


def _quoted(names: tuple[str, ...]) -> str:
    return cut(", ".join(names), MAX_QUOTED)
