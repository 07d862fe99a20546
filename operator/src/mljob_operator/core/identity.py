"""The dag run id of an MLJob, computed before the first call to Airflow.

Because the id is a function of the object, triggering twice is triggering once: Airflow answers 409 to the second, and the
run that is there is ours. The uid is in the digest, so an object deleted and created again under the same name gets an id
that Airflow has not seen: run ids are never reused, not even after their run was deleted (an executor may still hold results
of the old one).
"""

from __future__ import annotations

import base64
import hashlib

from mljob_contract.run_id import DIGEST_LENGTH, RunId

CANCEL_PREFIX = "cancel."


def dag_run_id(prefix: str, namespace: str, name: str, uid: str, attempt: int = 1) -> RunId:
    """The id of the ``attempt``-th run of the MLJob with this uid."""
    digest = base64.b32encode(hashlib.sha256(uid.encode()).digest()).decode().lower()[:DIGEST_LENGTH]
    return RunId(prefix, namespace, name, digest, attempt)


def cancel_run_id(run_id: str) -> str:
    """The id of the cancellation DAG's run that cancels ``run_id``: also computed, so also triggered once.

    It doesn't start with our prefix, so the change feed of our runs doesn't list it.
    """
    return CANCEL_PREFIX + run_id
