from __future__ import annotations

import math

from mljob_operator.core.mljob.tracked import TrackedJob
from mljob_operator.core.mljob.transient_state import TransientState
from mljob_operator.core.run.observed_run import ObservedRun

from .situations import classified, job


def test_an_mljob_that_was_only_read_is_unconfirmed_and_nothing_was_tried() -> None:
    tracked = TrackedJob(classified(job()).job)
    # The event loop's clock may begin at 0, so 0 would look like a recent write.
    assert 0.0 - tracked.confirmed_at == math.inf
    assert (tracked.observed_run, tracked.transient) == (ObservedRun(), TransientState())


def test_outputs_that_airflow_was_not_asked_for_differ_from_no_outputs() -> None:
    assert TrackedJob(classified(job()).job).outputs is None
