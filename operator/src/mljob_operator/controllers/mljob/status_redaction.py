"""Redacts values from Secrets in the texts of a status."""

from __future__ import annotations

import logging

from ...core.conf.redaction import Redaction
from ...core.mljob.classification.state import State
from ...core.mljob.transient_state import TransientState
from ...core.status.disclosure import redacted_state
from ...errors import AirflowError
from ...ports import Airflows
from .actions import dag_runs_of, log_of
from .confs import Confs


class StatusRedaction:
    """Returns redactions for MLJobs. A :class:`.Redaction` replaces values from Secrets in texts.

    Args:
        airflows: All Airflows.
        confs: Reads the runs' confs from Airflow.
    """

    def __init__(self, airflows: Airflows, confs: Confs) -> None:
        self._airflows = airflows
        self._confs = confs

    async def of(self, state: State) -> Redaction:
        """Return the redaction for an MLJob's status.

        If this process does not know all values from Secrets in the run's conf, and it is time to
        read the conf (:meth:`.Confs.read_at`), first read the conf from Airflow. While values are
        unknown, the redaction withholds the texts that come from the run. An error of Airflow is
        logged, and not raised.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        redaction = self._confs.redaction(state)
        if redaction.complete:
            return redaction
        at = self._confs.read_at(state)
        if at is not None and at <= state.now:
            # The credentials for this Airflow may be unusable, which is a failed try too.
            self._confs.begin_read(state)
            try:
                await self._confs.read(state, dag_runs_of(state, self._airflows))
            except AirflowError as error:
                # The error's message may quote the conf too, so only the reason is logged.
                log_of(
                    state,
                    logging.WARNING,
                    "the status shows no texts of the run, because its conf could not be read: %s",
                    error.reason,
                )
        return self._confs.redaction(state)

    async def transient(self, state: State) -> TransientState:
        """Return the TransientState of an MLJob, without values from Secrets in its texts.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        return redacted_state(state, None, await self.of(state))[0].transient
