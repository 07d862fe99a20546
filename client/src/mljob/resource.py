"""An MLJob as the API server returns it: metadata, spec and status.

The attributes ``spec`` and ``status`` are validated at first use. The validation may fail, because
the object may have been stored under another version of the CRD. All other attributes are read
without validation: a missing value, or a value of another type, becomes an empty value or None.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import InvalidResource

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mljob_contract.mljob import MLJobSpec, MLJobStatus

Model = TypeVar("Model", bound="BaseModel")
API_VERSION: Final = "mljob.dev/v1alpha1"
KIND: Final = "MLJob"
RETRY_REQUESTED_AT: Final = "mljob.dev/retry-requested-at"
"""The annotation that requests another attempt (``mljob_contract.mljob``)."""


class MLJob:
    """An MLJob at one resource version. Two of these objects are equal if their uid, name and
    resource version are equal.

    Attributes:
        raw: The Kubernetes object as JSON. Don't change it.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MLJob):
            return NotImplemented
        return (self.uid, self.name, self.resource_version) == (other.uid, other.name, other.resource_version)

    def __hash__(self) -> int:
        return hash((self.uid, self.resource_version))

    def __repr__(self) -> str:
        return f"<MLJob {self.namespace}/{self.name} {self.phase or 'new'}>"

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the object, as JSON."""
        return _object(self.raw.get("metadata"))

    @property
    def name(self) -> str:
        """The name."""
        return _string(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """The namespace."""
        return _string(self.metadata.get("namespace"))

    @property
    def uid(self) -> str:
        """The uid. A later object of the same name has another uid."""
        return _string(self.metadata.get("uid"))

    @property
    def resource_version(self) -> str:
        """The resource version of the Kubernetes object."""
        return _string(self.metadata.get("resourceVersion"))

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return _strings(self.metadata.get("labels"))

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations."""
        return _strings(self.metadata.get("annotations"))

    @cached_property
    def created_at(self) -> datetime | None:
        """The time of the object's creation, or None if the metadata has no valid time."""
        return _time(self.metadata.get("creationTimestamp"))

    @property
    def is_being_deleted(self) -> bool:
        """Whether the object is being deleted."""
        return bool(self.metadata.get("deletionTimestamp"))

    @cached_property
    def spec(self) -> MLJobSpec:
        """The spec.

        Raises:
            InvalidResource: The stored spec does not fit the model. Use ``raw_spec`` instead.
        """
        from mljob_contract.mljob import MLJobSpec

        return _parse(self, MLJobSpec, "spec")

    @cached_property
    def status(self) -> MLJobStatus:
        """The status. Until an operator has written a status, all fields except
        ``observed_generation`` are None.

        Raises:
            InvalidResource: The stored status does not fit the model. Use ``raw_status`` instead.
        """
        from mljob_contract.mljob import MLJobStatus

        return _parse(self, MLJobStatus, "status")

    @property
    def raw_spec(self) -> dict[str, Any]:
        """The spec as JSON."""
        return _object(self.raw.get("spec"))

    @property
    def raw_status(self) -> dict[str, Any]:
        """The status as JSON."""
        return _object(self.raw.get("status"))

    @property
    def dag_id(self) -> str:
        """The id of the DAG in the spec."""
        return _string(self.raw_spec.get("dagId"))

    @property
    def conf(self) -> dict[str, Any]:
        """The conf in the spec, without the keys that ``spec.confFrom`` adds to the run's conf."""
        return _object(self.raw_spec.get("conf"))

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the newest attempt. Empty until the run has ended and the operator has
        stored the outputs. A failed run can have outputs too.
        """
        return _object(self.raw_status.get("outputs"))

    @property
    def phase(self) -> str:
        """The phase, such as ``Running``. Empty until an operator has written a status."""
        return _string(self.raw_status.get("phase"))

    @property
    def reason(self) -> str:
        """Why the MLJob is in this phase, in one CamelCase word, such as ``TaskFailed``."""
        return _string(self.raw_status.get("reason"))

    @property
    def message(self) -> str:
        """Why the MLJob is in this phase, in a sentence. The sentence may quote texts of tasks."""
        return _string(self.raw_status.get("message"))

    @property
    def sentence(self) -> str:
        """The message without the kubectl command that requests a retry."""
        return without_how_to_retry(self.message, self.namespace, self.name)

    @cached_property
    def conditions(self) -> dict[str, dict[str, Any]]:
        """The conditions in the status by type, each as JSON."""
        listed = self.raw_status.get("conditions")
        found = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        return {_string(entry.get("type")): entry for entry in found}

    def is_true(self, condition: str) -> bool:
        """Return whether the condition of the type ``condition`` has the status ``"True"``."""
        return self.conditions.get(condition, {}).get("status") == "True"


def without_how_to_retry(message: str, namespace: str, name: str) -> str:
    """Return the message of an MLJob without the kubectl command at its end that requests a retry."""
    return message.removesuffix(
        f" To retry: kubectl annotate --overwrite -n {namespace} mljob/{name} {RETRY_REQUESTED_AT}=$(date +%s)"
    )


def _parse(job: MLJob, model: type[Model], part: str) -> Model:
    from pydantic import ValidationError

    try:
        return model.model_validate(_object(job.raw.get(part)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(step) for step in (part, *first["loc"]))
        raise InvalidResource(
            f"MLJob {job.namespace}/{job.name}: {path}: {first['msg']}. Another version of the CRD may have stored it: "
            "read the attribute raw, or use the client of the operator's version."
        ) from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any) -> dict[str, str]:
    return {key: text for key, text in _object(value).items() if isinstance(text, str)}


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(_string(value))
    except ValueError:
        return None
    return at if at.tzinfo else None
