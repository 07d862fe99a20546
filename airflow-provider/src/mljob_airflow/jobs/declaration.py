"""A job: an on-demand DAG that is declared once, with its params, outputs and owner as types.

:func:`mljob_dag` gives a DAG what every job of the platform needs: no schedule, awake from the start, params checked before a run
and typed inside of it, every task reported to its MLJob, a try more for what fails by chance, an owner. What differs between
the kinds of work is in :data:`PROFILES`. The DAG is an ordinary one: whatever Airflow's ``DAG`` takes can be given as well,
and a DAG that is written by hand with ``mljob_callbacks()`` works as it did.

Parsed again and again by the DAG processor, so: Airflow is imported when a job is declared, by a file that has
imported it anyway, and Kafka never.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from mljob_airflow.jobs.param_schema import (
    ConfError,
    DeclarationError,
    ParamSpec,
    outputs_of,
    params_of,
    parse,
    refused,
)
from mljob_airflow.tasks.failing import fail_for_good
from mljob_airflow.tasks.outputs import as_json, publish_outputs
from mljob_contract.job_type import JobType

log = logging.getLogger(__name__)

Params = TypeVar("Params", bound=BaseModel)

TAG = "mljob"
"""The tag of every DAG that is made for MLJobs; the job type is another."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of work asks of Airflow, where its author says nothing else."""

    retries: int = 1
    """How often a task that fails is tried again. One try more is for chance; a run that needs more has ``spec.backoffLimit``."""
    retry_delay: timedelta = timedelta(seconds=10)
    """Before another try. Airflow's own default, five minutes, looks like a hang to who waits for an MLJob."""
    max_active_runs: int | None = None
    """Runs at the same time; more stay Queued. ``None``: the Airflow's own ``[core] max_active_runs_per_dag``, which is set with
    the size of its machines in mind."""


PROFILES: Mapping[JobType, Profile] = {
    # Short, many, and somebody waits for each.
    JobType.INFERENCE: Profile(retries=2, retry_delay=timedelta(seconds=1), max_active_runs=100),
}
"""By job type; all others are as ``Profile()``."""


class Job(Generic[Params]):
    """A declared job. ``with`` it, tasks go into its DAG; inside of a task it has the run's params. See :func:`mljob_dag`."""

    def __init__(self, dag: Any, type: JobType, params: type[Params], outputs: type[BaseModel] | None) -> None:  # noqa: A002
        self.dag = dag
        """The Airflow DAG."""
        self.type = type
        self._params = params
        self._outputs = outputs

    def __enter__(self) -> Job[Params]:
        self.dag.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from mljob_airflow.events.instrumentation import instrument

        # Now that all tasks are there, instead of by default_args: a task then keeps its own callbacks and has ours as well.
        for task in self.dag.tasks:
            instrument(task)
        self.dag.__exit__(kind, error, traceback)

    @property
    def outputs(self) -> tuple[ParamSpec, ...]:
        """What the job declares to publish."""
        return outputs_of(self._outputs) if self._outputs else ()

    def params(self) -> Params:
        """The params of the run that the current task belongs to, checked.

        Raises:
            AirflowFailException: The params are right one by one, which Airflow has checked, but not for the model's own
                validators. It fails the task for good, as another try would change nothing.
        """
        from airflow.sdk import get_current_context

        context = get_current_context()
        given = context["dag_run"].conf or {}
        # Airflow puts the params of a single task in here too: they are that task's own affair.
        names = {*given, *self.dag.params}
        try:
            return parse(self._params, {name: value for name, value in context["params"].items() if name in names})
        except ConfError as error:
            raise fail_for_good(str(error)) from error

    def publish(self, **outputs: Any) -> None:
        """Publish outputs, as :func:`mljob_airflow.publish_outputs` does, and warn of those that are not as declared.

        They are published all the same: hours of training must not be lost to a misspelt name.
        """
        try:
            complaints = list(self._complaints(as_json(outputs)[0]))
        except Exception as error:
            # A validator of the model's own.
            complaints = [
                f"The outputs could not be compared with {self.dag.dag_id}'s model: {type(error).__name__}: {error}."
            ]
        for complaint in complaints:
            log.warning("%s It is published nevertheless.", complaint)
        publish_outputs(**outputs)

    def _complaints(self, values: Mapping[str, Any]) -> Iterable[str]:
        if self._outputs is None:
            return
        declared = [spec.name for spec in self.outputs]
        for name in values:
            if name not in declared:
                yield f"{self.dag.dag_id} declares no output {name!r}: {self._outputs.__name__} has {', '.join(declared)}."
        for name, why in refused(self._outputs, values).items():
            if name in declared:
                yield f"{self.dag.dag_id} declares the output {name!r} otherwise than {values[name]!r}: {why}."


def mljob_dag(  # noqa: PLR0913 - one argument for each thing that a job declares, by name
    dag_id: str,
    *,
    type: JobType,  # noqa: A002
    params: type[Params],
    owner: str,
    outputs: type[BaseModel] | None = None,
    owner_link: str | None = None,
    description: str | None = None,
    doc_md: str | None = None,
    retries: int | None = None,
    retry_delay: timedelta | None = None,
    max_active_runs: int | None = None,
    tags: Iterable[str] = (),
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> Job[Params]:
    """Declare a job::

        class TrainParams(BaseModel):
            model_id: str = Field(pattern="^[a-z0-9-]+$", description="Id under which the model is published.")
            epochs: int = Field(20, ge=1, le=1000)

        with mljob_dag("train_model", type=JobType.TRAINING, params=TrainParams, owner="ml-platform") as job:

            @task
            def fit():
                epochs = job.params().epochs
                ...
                job.publish(accuracy=accuracy)

            fit()

    Args:
        dag_id: The DAG's id: ``spec.dagId`` of its MLJobs.
        type: Which kind of work it is; becomes a tag, and chooses a profile.
        params: What a run may be given, a field for each param. A field without a default is required.
        owner: Whom to ask when it fails.
        outputs: What a run publishes, a field for each. Nothing is checked without it.
        owner_link: Where to reach the owner: an address with ``https:`` or ``mailto:``.
        description: One line; by default the first sentence of ``doc_md``.
        doc_md: What Airflow shows of the DAG, in Markdown: often ``__doc__``. The outputs are added to it.
        retries: Of each task; by default the profile's.
        retry_delay: Before another try of a task; by default the profile's.
        max_active_runs: By default the profile's.
        tags: Tags beside ``mljob`` and the type.
        default_args: For all tasks, as for a ``DAG``.
        dag_arguments: Anything else that a ``DAG`` takes, ``schedule`` included.

    Raises:
        DeclarationError: Airflow can't hold the params: which, why, and the way out. Or the type is Backfill, which no DAG is.
    """
    from airflow.sdk import DAG, Param

    if type is JobType.BACKFILL:
        raise DeclarationError(
            f"{dag_id}: Backfill is what an MLJob does with a DAG's schedule, not a kind of DAG. Give the DAG the type of its work and a schedule, "
            "and an MLJob type: Backfill with spec.backfill"
        )
    profile = PROFILES.get(type, Profile())
    declared = outputs_of(outputs) if outputs else ()
    runs = profile.max_active_runs if max_active_runs is None else max_active_runs
    dag = DAG(
        dag_id,
        description=description or _first_sentence(doc_md),
        doc_md=_with_outputs(doc_md, declared),
        params={spec.name: _as_param(Param, spec) for spec in params_of(params)},
        tags=[TAG, type.value, *tags],
        owner_links={owner: owner_link} if owner_link else {},
        default_args={
            "owner": owner,
            "retries": profile.retries if retries is None else retries,
            "retry_delay": profile.retry_delay if retry_delay is None else retry_delay,
            **(default_args or {}),
        },
        **({} if runs is None else {"max_active_runs": runs}),
        **{"schedule": None, "catchup": False, "is_paused_upon_creation": False, **dag_arguments},
    )
    # Airflow takes the file that calls DAG() for the DAG's, and finds templates beside it.
    dag.fileloc = sys._getframe(1).f_code.co_filename
    job = Job(dag, type, params, outputs)
    _declared[dag_id] = job
    return job


_declared: dict[str, Job[Any]] = {}
"""The jobs that this process has declared, by DAG id; of two with one id the last, as in Airflow."""


def job_of(dag: Any) -> Job[Any] | None:
    """The job that an Airflow DAG of this process was declared as; ``None`` for a plain DAG."""
    job = _declared.get(dag.dag_id)
    return job if job is not None and job.dag is dag else None


def _as_param(param: Any, spec: ParamSpec) -> Any:
    value = {} if spec.required else {"default": spec.default}
    return param(**value, description=spec.description, schema=dict(spec.schema))


def _first_sentence(text: str | None) -> str | None:
    if not text or not text.strip():
        return None
    return " ".join(text.strip().split("\n\n")[0].split()).split(". ")[0].removesuffix(".")


def _with_outputs(doc_md: str | None, outputs: Iterable[ParamSpec]) -> str | None:
    lines = [f"- `{spec.name}`: {spec.description}" if spec.description else f"- `{spec.name}`" for spec in outputs]
    if not lines:
        return doc_md
    return "\n\n".join([*([doc_md.rstrip()] if doc_md else []), "**Outputs**", "\n".join(lines)]) + "\n"
