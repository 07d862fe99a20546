"""Declares jobs. A job is a DAG that has an owner, and declares its params and outputs as pydantic
models.

:func:`mljob_dag` makes a DAG with these defaults:

- The DAG has no schedule, and is not paused at first.
- The operator refuses a conf with a key that is not a param, unless the params model allows other
  keys.
- Every task has the callbacks that send events, and at least one retry.

Further defaults depend on the job type (:data:`PROFILES`).

The DAG processor parses DAG files again and again. So importing this module imports neither Airflow
nor a Kafka client.
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
from mljob_contract.param_schema import ADDITIONAL_PARAMS

log = logging.getLogger(__name__)

Params = TypeVar("Params", bound=BaseModel)

TAG = "mljob"
"""The tag of every declared job's DAG. The job type is a second tag."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The defaults that a job type sets."""

    retries: int = 1
    """The number of retries of each task, for chance failures. An MLJob can also retry the whole
    run (``spec.backoffLimit``).
    """
    retry_delay: timedelta = timedelta(seconds=10)
    """The time before a retry. With Airflow's default of five minutes, the MLJob would seem to
    hang.
    """
    max_active_runs: int | None = None
    """The maximum number of active runs of the DAG; further runs stay queued. With ``None``,
    Airflow's option ``[core] max_active_runs_per_dag`` applies, which administrators set for the
    size of their machines.
    """


PROFILES: Mapping[JobType, Profile] = {
    # An inference DAG has many short runs, and a person or a program waits for each run.
    JobType.INFERENCE: Profile(retries=2, retry_delay=timedelta(seconds=1), max_active_runs=100),
}
"""The defaults by job type. All other types have ``Profile()``."""


class Job(Generic[Params]):
    """A DAG that is declared with :func:`mljob_dag`. Create the tasks in the ``with`` block of the
    job.
    """

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

        # The callbacks are added here, when all tasks exist. With default_args, a task that sets a
        # callback of its own would lose the callback that sends events.
        for task in self.dag.tasks:
            instrument(task)
        self.dag.__exit__(kind, error, traceback)

    @property
    def outputs(self) -> tuple[ParamSpec, ...]:
        """The declared outputs. The tuple is empty if the job declares none."""
        return outputs_of(self._outputs) if self._outputs else ()

    def params(self) -> Params:
        """Return the params of the running task's run, as an instance of the params model.

        Raises:
            AirflowFailException: The model refuses the params. The task fails without a retry.
        """
        from airflow.sdk import get_current_context

        context = get_current_context()
        given = context["dag_run"].conf or {}
        # context["params"] also has the params of the single task. Only params of the DAG and keys
        # of the conf are passed to the model.
        names = {*given, *self.dag.params}
        try:
            return parse(self._params, {name: value for name, value in context["params"].items() if name in names})
        except ConfError as error:
            raise fail_for_good(str(error)) from error

    def publish(self, **outputs: Any) -> None:
        """Publish outputs, as :func:`mljob_airflow.publish_outputs` does. An output that differs
        from its declaration is also published, with a warning in the task's log.

        Raises:
            RuntimeError: The task has forked this process.
        """
        try:
            differences = list(self._differences(as_json(outputs)[0]))
        except Exception as error:
            # A validator of the model may raise any exception.
            differences = [
                f"The outputs could not be validated by {self.dag.dag_id}'s model: {type(error).__name__}: {error}."
            ]
        for difference in differences:
            log.warning("%s It is published all the same.", difference)
        publish_outputs(**outputs)

    def _differences(self, values: Mapping[str, Any]) -> Iterable[str]:
        if self._outputs is None:
            return
        declared = [spec.name for spec in self.outputs]
        for name in values:
            if name not in declared:
                yield f"{self.dag.dag_id} does not declare the output {name!r}: {self._outputs.__name__} has {', '.join(declared)}."
        for name, why in refused(self._outputs, values).items():
            if name in declared:
                yield f"The value {values[name]!r} does not fit {self.dag.dag_id}'s output {name!r}: {why}."


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
        type: The job type, which becomes a tag and selects the defaults in :data:`PROFILES`.
        params: A pydantic model with a field for each param. A field without a default is a
            required param. An MLJob whose conf has other keys is refused, unless the model has
            ``extra="allow"``.
        owner: The person or team to ask when the job fails.
        outputs: A pydantic model with a field for each output of a run. With ``None``, published
            outputs are not validated.
        owner_link: The URL of the owner, ``https:`` or ``mailto:``.
        description: One line; by default the first sentence of ``doc_md``.
        doc_md: The DAG's documentation in Airflow's UI, as Markdown. The list of declared outputs
            is appended.
        retries: The number of retries of each task. The default depends on the job type.
        retry_delay: The time before a retry. The default depends on the job type.
        max_active_runs: The maximum number of active runs. The default depends on the job type.
        tags: Tags in addition to ``mljob`` and the job type.
        default_args: Arguments for all tasks, as for a ``DAG``. These arguments override ``owner``,
            ``retries`` and ``retry_delay``.
        dag_arguments: Any other argument of ``DAG``, including ``schedule``.

    Raises:
        DeclarationError: ``params`` or ``outputs`` can't be declared (:func:`params_of`,
            :func:`outputs_of`), or the type is Backfill, which is a type of MLJobs and not of DAGs.
    """
    from airflow.sdk import DAG, Param

    if type is JobType.BACKFILL:
        raise DeclarationError(
            f"{dag_id}: Backfill is a type of MLJob, not of a DAG. Give the DAG the type of its work and a schedule. "
            "An MLJob with type: Backfill and spec.backfill then runs the DAG for past dates"
        )
    profile = PROFILES.get(type, Profile())
    declared = outputs_of(outputs) if outputs else ()
    runs = profile.max_active_runs if max_active_runs is None else max_active_runs
    dag = DAG(
        dag_id,
        description=description or _first_sentence(doc_md),
        doc_md=_with_outputs(doc_md, declared),
        params={spec.name: _as_param(Param, spec, _keywords(params)) for spec in params_of(params)},
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
    # Airflow looks for templates in the folder of the file that calls DAG(), which is this module.
    # So fileloc is set to the file that calls mljob_dag().
    dag.fileloc = sys._getframe(1).f_code.co_filename
    job = Job(dag, type, params, outputs)
    _declared[dag_id] = job
    return job


_declared: dict[str, Job[Any]] = {}
"""The jobs that this process has declared, by DAG id. If two jobs have the same DAG id, the later
job replaces the earlier one, as in Airflow.
"""


def job_of(dag: Any) -> Job[Any] | None:
    """Return the :class:`Job` of an Airflow DAG. Return ``None`` if this process has not declared
    the DAG with :func:`mljob_dag`, or if a later job with the same id has replaced the DAG.
    """
    job = _declared.get(dag.dag_id)
    return job if job is not None and job.dag is dag else None


def _keywords(params: type[BaseModel]) -> dict[str, Any]:
    return {} if params.model_config.get("extra") == "allow" else {ADDITIONAL_PARAMS: False}


def _as_param(param: Any, spec: ParamSpec, keywords: Mapping[str, Any]) -> Any:
    value = {} if spec.required else {"default": spec.default}
    return param(**value, description=spec.description, schema={**spec.schema, **keywords})


def _first_sentence(text: str | None) -> str | None:
    if not text or not text.strip():
        return None
    return " ".join(text.strip().split("\n\n")[0].split()).split(". ")[0].removesuffix(".")


def _with_outputs(doc_md: str | None, outputs: Iterable[ParamSpec]) -> str | None:
    lines = [f"- `{spec.name}`: {spec.description}" if spec.description else f"- `{spec.name}`" for spec in outputs]
    if not lines:
        return doc_md
    return "\n\n".join([*([doc_md.rstrip()] if doc_md else []), "**Outputs**", "\n".join(lines)]) + "\n"
