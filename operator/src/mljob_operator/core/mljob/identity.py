"""The dag run id of an MLJob, computed before the first request to Airflow.

The id depends only on the object, the number of the run and the operator's prefix. So a second
submission of a run has the same id. Airflow answers 409 and starts no second run, and the existing
run is the MLJob's own.

The id contains a hash of the object's uid, so an object that is deleted and created again under the
same name gets another id. An MLJob does not use the id of a run again, even after the run was
deleted, because an executor may still hold results of this run.

With runPolicy OncePerSpec, the hash is of the namespace, the name and the spec instead of the uid
(see :func:`pin`). An object that is created again with the same spec then gets the same ids.
"""

from __future__ import annotations

from functools import lru_cache

from mljob_contract.mljob import RunPolicy
from mljob_contract.run_id import RunId

from ..run.run_key import Key
from .resource.job import Job
from .resource.spec import digest

CANCEL_PREFIX = "cancel."


def dag_run_id(prefix: str, namespace: str, name: str, pin: str, number: int = 1) -> RunId:
    """Return the id of the ``number``-th run of an MLJob. ``pin`` is the text that identifies the
    MLJob, from :func:`pin`.
    """
    return RunId(prefix, namespace, name, digest(pin), number)


def pin(job: Job) -> str:
    """Return the text that identifies the MLJob in its run ids. By default, this is the uid. With
    runPolicy OncePerSpec, the text has the namespace, the name and the hash of the spec, so that a
    later object with the same namespace, name and spec has the same run ids.
    """
    if job.spec.run_policy is RunPolicy.ONCE_PER_SPEC:
        return f"{job.namespace}/{job.name}/{job.parsed.hash}"
    return job.uid


def has_one_spec(job: Job) -> bool:
    """Return whether the spec has never changed since the MLJob was created.

    The field ``metadata.generation`` proves this, because no client can set the field. The
    Kubernetes API server sets the generation to 1 when the MLJob is created. It adds 1 at each
    change of the spec, and at the request to delete the MLJob.
    """
    return job.generation == (2 if job.deleting else 1)


def runs_current_spec(job: Job, run_id: str) -> bool:
    """Return whether the id of a run proves that the run was started with the MLJob's current spec.

    The status is no proof, because every client that may write the status may write a wrong
    ``specHash``. With runPolicy OncePerSpec, the run id is a proof by itself, because the hash in
    the id is made from the spec too. With another runPolicy, the hash is made from the uid only. In
    this case the run id is a proof only if the MLJob's spec has never changed
    (:func:`has_one_spec`).
    """
    one_spec = job.spec.run_policy is RunPolicy.ONCE_PER_SPEC or has_one_spec(job)
    return one_spec and _has_pin(run_id, job.key, pin(job))


@lru_cache(maxsize=1024)  # every step asks twice, and the answer never changes
def _has_pin(run_id: str, key: Key, pin: str) -> bool:
    found = RunId.parse(run_id)
    return found is not None and (found.namespace, found.name, found.digest) == (*key, digest(pin))


def cancel_run_id(run_id: str) -> str:
    """Return the id of the cancellation DAG's run that cancels ``run_id``. The id depends only on
    ``run_id``, so Airflow answers 409 if the cancellation DAG is triggered a second time for this
    run.

    The id doesn't start with the prefix of MLJobs' runs, so it is not in the lists of runs that the
    operator requests by that prefix.
    """
    return CANCEL_PREFIX + run_id
