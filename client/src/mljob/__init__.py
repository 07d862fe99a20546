"""The client of the MLJob operator. The client creates MLJobs in Kubernetes, and the operator runs
them on Airflow.

>>> from mljob import Client
>>> job = Client().submit("train_model", {"model_id": "digits", "epochs": 20})  # doctest: +SKIP
>>> job.wait().outputs  # doctest: +SKIP

:class:`Client` is for scripts and notebooks. :class:`AsyncClient` has the same methods for asyncio.
Both clients read the kubeconfig as ``kubectl`` does, and have the rights of the kubeconfig's user.

Each class of this package is imported at its first use, so that ``kubectl mljob`` starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio.client import AsyncClient
    from .aio.job import AsyncJob
    from .compare import Comparison
    from .errors import (
        ApiError,
        ConfigError,
        JobCancelled,
        JobDeleted,
        JobError,
        JobFailed,
        JobStalled,
        JobTimeout,
        MLJobError,
        NotAllowed,
        NotFound,
        RunApiMissing,
    )
    from .resource import MLJob
    from .sync.client import Client
    from .sync.job import Job

_MODULES = {
    "AsyncClient": "aio.client",
    "AsyncJob": "aio.job",
    "Client": "sync.client",
    "Comparison": "compare",
    "Job": "sync.job",
    "MLJob": "resource",
}

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Comparison",
    "ConfigError",
    "Job",
    "JobCancelled",
    "JobDeleted",
    "JobError",
    "JobFailed",
    "JobStalled",
    "JobTimeout",
    "MLJob",
    "MLJobError",
    "NotAllowed",
    "NotFound",
    "RunApiMissing",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
