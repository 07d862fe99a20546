"""The settings for runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import NoDecode

from mljob_contract.airflow_instance import DagGlob
from mljob_contract.run_id import MAX_PREFIX_LENGTH

from .environment import EnvironmentSettings
from .values import COMMA_SEPARATED


class RunSettings(EnvironmentSettings):
    """The settings for dag run ids, cancellations, reserved DAGs and orphaned runs, and for the
    intervals between requests for Airflow's recent changes and between status patches.
    """

    run_id_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=MAX_PREFIX_LENGTH)] = (
        "mljob"
    )
    """The first part of dag run ids. Clusters that share one Airflow need different prefixes."""
    cancel_dag_id: str = "mljob_cancel"
    """The id of the cancellation DAG. No MLJob may run this DAG."""
    cancel_fallback_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How many seconds after its trigger the run of the cancellation DAG must have started.
    Otherwise the operator cancels through the REST API. If the run has started by then, the
    operator gives it 60 seconds more.
    """
    reserved_dags: Annotated[tuple[DagGlob, ...], NoDecode, COMMA_SEPARATED] = ()
    """DAGs that no MLJob may run, as comma-separated globs of DAG ids. The cancellation DAG is
    always reserved, and so are the monitoring DAGs unless an access rule has their ids."""
    orphaned_runs: Literal["Report", "Cancel"] = "Report"
    """What the operator does about runs with its prefix that no MLJob follows. ``Report``: report
    them. ``Cancel``: report and cancel them."""
    resync_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """The time between two requests for the recent changes in Airflow (the change feed), in
    seconds. If no event reports a change, the status shows the change within twice this time.
    """
    status_interval_seconds: Annotated[float, Field(ge=0, le=60)] = 0.1
    """The minimum time between two patches of one MLJob's status, in seconds. The pause lets one
    patch show a burst of events. The first patch of a burst is not delayed. While many writes are
    under way, patches about progress have up to eight times this pause, but at most 4 seconds, or this
    pause if it is longer.
    """
