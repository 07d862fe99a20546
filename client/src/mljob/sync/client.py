# Generated from mljob.aio by client/generate.py.
"""The client, which submits, finds, watches and compares MLJobs."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ..changes import Change
from ..errors import AlreadyExists, Invalid, InvalidArgument, KindNotServed, NotFound, none_selected
from ..kubeconfig import load
from ..manifest import REQUEST_ID, manifest, random_name
from ..resource import MLJob
from ..sweep import manifests_of, require_same_point
from .job import Job, collection_path, job_path
from .transport import Transport
from .watch import list_objects, watch_objects

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..compare import Comparison


class Client:
    """A client for the MLJobs of a cluster. The client has only the rights of the kubeconfig's
    user.

    All methods that send requests raise :class:`~mljob.errors.ApiError` if the API server refuses a
    request or does not answer, and :class:`~mljob.errors.InvalidArgument` without a request if a
    name or a namespace is empty or no name of Kubernetes.

    Args:
        namespace: The namespace for calls without a namespace. Default: the context's.
        context: The name of a context in the kubeconfig. Default: the current context.
        kubeconfig: The kubeconfig file. Default: the files that ``kubectl`` reads. A pod without a
            kubeconfig uses its ServiceAccount, unless ``context`` is given.
        transport: An existing transport. ``context`` and ``kubeconfig`` are then ignored. Default:
            a new transport.

    Raises:
        ConfigError: There is no usable kubeconfig.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        context: str | None = None,
        kubeconfig: str | os.PathLike[str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport(load(kubeconfig, context))
        self.namespace = namespace or self.transport.config.namespace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections of the client's transport."""
        self.transport.close()

    def submit(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | BaseModel | None = None,
        *,
        name: str | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> Job:
        """Create an MLJob, and return its handle.

        Args:
            dag_id: The id of the Airflow DAG to run.
            conf: The conf of the run: a dict, or an instance of a pydantic model. Fields of the
                instance that were not set are not sent.
            name: The name. Default: the DAG's id and a random suffix.
            namespace: The namespace. Default: the client's.
            labels: The MLJob's labels.
            annotations: The MLJob's annotations.
            **spec: Other fields of the spec, such as ``backoffLimit=2`` or ``backoff_limit=2``.

        Raises:
            AlreadyExists: An MLJob of this name exists.
            Invalid: A field has a wrong value.
        """
        wanted = manifest(
            name=random_name(dag_id) if name is None else name,
            namespace=namespace or self.namespace,
            dag_id=dag_id,
            conf=conf,
            labels=labels,
            annotations=annotations,
            spec=spec,
        )
        return Job(self.transport, self._create(wanted))

    def get(self, name: str, namespace: str | None = None) -> Job:
        """Return the handle of an MLJob. The default namespace is the client's.

        Raises:
            NotFound: No MLJob has this name.
            InvalidArgument: The name is empty, or no MLJob can have this name.
        """
        where = namespace or self.namespace
        path = job_path(where, name)
        try:
            return Job(self.transport, MLJob(self.transport.request("GET", path)))
        except KindNotServed:
            raise
        except NotFound as error:
            raise NotFound(
                f"There is no MLJob {name!r} in namespace {where}.", code=error.code, reason=error.reason
            ) from None

    def list_jobs(
        self,
        selector: str | None = None,
        *,
        namespace: str | None = None,
        all_namespaces: bool = False,
        field_selector: str | None = None,
    ) -> list[Job]:
        """Return the handles of MLJobs.

        Args:
            selector: A label selector, such as ``team=vision,mljob.dev/sweep=lr``.
            namespace: The namespace. Default: the client's.
            all_namespaces: Whether to list the MLJobs of all namespaces.
            field_selector: A field selector, such as ``status.phase=Failed,spec.type=Training``.

        Raises:
            Invalid: A selector is not valid, or the label selector has more than 4,000 characters.
        """
        path = collection_path(None if all_namespaces else namespace or self.namespace)
        found, _ = list_objects(self.transport, path, MLJob, _selectors(selector, field_selector))
        return [Job(self.transport, job) for job in found]

    def watch(
        self,
        selector: str | None = None,
        *,
        namespace: str | None = None,
        all_namespaces: bool = False,
        field_selector: str | None = None,
        deadline: float | None = None,
    ) -> Generator[Change[MLJob], None]:
        """Yield a :class:`.Change` of the kind ADDED for each MLJob that exists, then the changes of
        MLJobs as they happen. See :func:`~mljob.aio.watch.watch_objects`.

        The watch ends at ``deadline``, a time of ``time.monotonic()``, or never if ``deadline`` is
        None. The other arguments are those of :meth:`list_jobs`.
        """
        path = collection_path(None if all_namespaces else namespace or self.namespace)
        return watch_objects(self.transport, path, MLJob, _selectors(selector, field_selector), deadline)

    def sweep(
        self,
        dag_id: str,
        grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
        *,
        name: str,
        conf: Mapping[str, Any] | BaseModel | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> list[Job]:
        """Create an MLJob for each point of a grid, and return the handle of each point's MLJob. A
        point is one combination of values of the params.

        The label ``mljob.dev/sweep`` of each MLJob is the sweep's name. The annotation
        ``mljob.dev/sweep-point`` has the values of the point. A second call with the same
        arguments creates only the MLJobs that are missing, but returns all handles. The second call
        may leave out fields of the spec. ``suspend``, ``cancel``, labels and further points may
        differ.

        Args:
            dag_id: The id of the Airflow DAG to run.
            grid: A list of values for each param, by the param's name. Or a list of points, which
                are dicts of params. At most 500 points. A list may be an array of NumPy.
            name: The name of the sweep: at most 63 characters, which are lower-case letters, digits
                and single hyphens.
            conf: The conf that all points share. If a param of a point has the name of a key in
                this conf, the point's value is used.
            namespace: The namespace. Default: the client's.
            labels: Labels in addition to ``mljob.dev/sweep``.
            **spec: Other fields of the spec, as in :meth:`submit`.

        Raises:
            AlreadyExists: The MLJob of a point exists already, and belongs to no sweep or another
                sweep, is being deleted, or differs in ``dagId``, ``conf``, ``confFrom`` or a field
                that is in ``spec``. The MLJobs of earlier points are not deleted.
            Invalid: The grid or a field has a wrong value. If the client finds the mistake, no
                MLJob is created. If the API server refuses an MLJob, the MLJobs that were created
                before are not deleted.
        """
        manifests = manifests_of(
            dag_id, grid, name=name, namespace=namespace or self.namespace, conf=conf, labels=labels, spec=spec
        )
        return [Job(self.transport, self._create(wanted, adopt=True)) for wanted in manifests]

    def compare(
        self,
        selector: str | Iterable[str | Job],
        *,
        by: str | None = None,
        less_is_better: bool | None = None,
        namespace: str | None = None,
    ) -> Comparison:
        """Return a :class:`~mljob.compare.Comparison` of MLJobs: the params that differ, the
        outputs and the last metrics. The best MLJob is in the first row.

        Args:
            selector: A label selector, such as ``mljob.dev/sweep=lr``; or the names or handles of
                MLJobs.
            by: The name of the output or metric to order by. Default: the output or metric that is
                a number in the most MLJobs. Counters such as ``epoch`` are never the default.
            less_is_better: Whether the smallest value is the best. Default: whether ``by`` contains
                a word such as ``loss`` or ``error``.
            namespace: The namespace. Default: the client's.

        Raises:
            Invalid: No MLJob matches the label selector, no names or handles are given, or no MLJob
                has a number as the output or metric ``by``.
            NotFound: There is no MLJob for one of the names or handles.
        """
        if isinstance(selector, str):
            jobs = [job.state for job in self.list_jobs(selector, namespace=namespace)]
        else:
            jobs = [(self.get(job, namespace)).state if isinstance(job, str) else job.refresh() for job in selector]
        from ..compare import compare_jobs

        if not jobs:
            if isinstance(selector, str):
                raise none_selected(selector, namespace or self.namespace)
            raise InvalidArgument("selector: there are no names or handles of MLJobs to compare.")
        return compare_jobs(jobs, by=by, less_is_better=less_is_better)

    def _create(self, wanted: dict[str, Any], *, adopt: bool = False) -> MLJob:
        """Create an MLJob. If the MLJob exists already, return the existing MLJob in two cases:
        this request created it but the answer was lost, or ``adopt`` is set and both MLJobs are the
        same point of a sweep (:func:`.require_same_point`).
        """
        metadata = wanted["metadata"]
        path = collection_path(metadata["namespace"])
        try:
            return MLJob(self.transport.request("POST", path, body=wanted, repeatable=True))
        except AlreadyExists:
            present = MLJob(self.transport.request("GET", job_path(metadata["namespace"], metadata["name"])))
            if present.annotations.get(REQUEST_ID) == metadata["annotations"][REQUEST_ID]:
                return present
            if not adopt:
                raise
            require_same_point(present, MLJob(wanted))
            return present


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    if labels is not None and len(labels) > 4_000:
        raise Invalid(f"selector: {len(labels)} characters, more than 4000. Use a label that the MLJobs share.")
    return {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value is not None}
