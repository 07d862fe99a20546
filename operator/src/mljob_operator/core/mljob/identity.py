"""The dag run id of an MLJob, computed before the first call to Airflow.

The id is a function of the object, so a second submission does no harm: Airflow answers 409, and
the existing run is that of the MLJob. The uid is part of the digest, so an object that is deleted
and created again under the same name gets a new id. Run ids are never reused, not even after their
run was deleted, because an executor may still hold results of the old run.
"""

from __future__ import annotations

from mljob_contract.mljob import RunPolicy
from mljob_contract.run_id import RunId

from .job import Job
from .spec import digest

CANCEL_PREFIX = "cancel."


def dag_run_id(prefix: str, namespace: str, name: str, pin: str, number: int = 1) -> RunId:
    """The id of the ``number``-th run of what ``pin`` identifies: the object's uid, or its
    namespace, name and spec.
    """
    return RunId(prefix, namespace, name, digest(pin), number)


def pin(job: Job) -> str:
    """What a run belongs to: this object (its uid), or with OncePerSpec any object with this
    namespace, name and spec.
    """
    if job.spec.run_policy is RunPolicy.ONCE_PER_SPEC:
        return f"{job.namespace}/{job.name}/{job.parsed.hash}"
    return job.uid


def cancel_run_id(run_id: str) -> str:
    """The id of the cancellation DAG's run that cancels ``run_id``. It is computed as well, so a
    second submission does no harm.

    It doesn't start with the prefix of MLJobs' runs, so the change feed doesn't list it.
    """
    return CANCEL_PREFIX + run_id
