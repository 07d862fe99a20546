"""The base class of the models of resources, and the common types of their fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "mljob.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ResourceModel(BaseModel):
    """The base class of the models of resources, of parts of resources, and of the responses of
    mljob-api. In YAML and JSON, the names of the fields are in camelCase. Unknown fields are
    ignored, because another version of this project may have written the object.

    Pydantic is not configured to read the docstrings of the fields, which would cost CPU time at
    each import. ``crds/docstrings.py`` reads them for the CRDs.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
    )


MAX_COUNT = 2147483647
"""The largest integer of Airflow's database columns and of Go's int32."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""A count, from 0."""
Number = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A position in a sequence, from 1."""
Reason = Annotated[str, Field(min_length=1, max_length=1024)]
"""A reason in one CamelCase word, of at most 1024 characters as in metav1.Condition."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$")]
"""The name of a Kubernetes object: a DNS subdomain (RFC 1123)."""
