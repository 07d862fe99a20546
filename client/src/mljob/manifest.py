"""Makes the manifest of an MLJob from the arguments of ``submit``."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidArgument
from .json_values import json_value
from .names import is_object_name
from .resource import API_VERSION, KIND

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_NAME: Final = 140
"""The maximum number of characters of an MLJob's name, a rule of the CRD."""
REQUEST_ID: Final = "mljob.dev/request-id"
"""The annotation by which a client recognises the MLJob that it has created, if the answer to the
request was lost.
"""
_SUFFIX_BYTES: Final = 4

Conf = "Mapping[str, Any] | BaseModel"


def manifest(
    *,
    name: str,
    namespace: str,
    dag_id: str,
    conf: Mapping[str, Any] | BaseModel | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of an MLJob as a dict. The annotation :data:`REQUEST_ID` gets a random
    value.

    Args:
        name: The name of the MLJob.
        namespace: The namespace of the MLJob.
        dag_id: The id of the Airflow DAG to run.
        conf: The conf of the run: a JSON object, or a pydantic model such as a params class of
            ``mljob_dag``.
        labels: The labels of the MLJob.
        annotations: The annotations of the MLJob.
        spec: Other fields of the spec, such as ``backoffLimit`` or ``backoff_limit``. Fields with
            the value None are left out. As in Kubernetes, the number 7200.0 is the integer 7200.

    Raises:
        InvalidArgument: The name is not allowed, the conf is not a JSON object, or a field of the
            spec does not exist, is ``dagId``, is there twice, or has a wrong value or a value of
            another type, such as the text ``"2"`` for a number.
    """
    metadata: dict[str, Any] = {"name": checked_name(name), "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    metadata["annotations"] = {**(annotations or {}), REQUEST_ID: secrets.token_hex(8)}
    wanted = {"dagId": dag_id, **_spec_fields(spec or {})}
    if conf is not None:
        wanted["conf"] = conf_of(conf)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": _checked_spec(wanted)}


def conf_of(conf: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    """Return a conf as a JSON object. For a pydantic model, return only the fields that were set,
    so that the DAG's defaults hold for the other fields. Arrays and numbers of NumPy become lists
    and numbers.

    Raises:
        InvalidArgument: The conf is not a JSON object.
    """
    dump = getattr(conf, "model_dump", None)
    found = dump(mode="json", by_alias=True, exclude_unset=True) if callable(dump) else conf
    parsed = json_value(found, "conf")
    if not isinstance(parsed, dict):
        raise InvalidArgument(
            f"conf: {type(conf).__name__} is not an object. Pass a dict, or an instance of a params class."
        )
    return parsed


def checked_name(name: str) -> str:
    """Return the name of an MLJob if the name is valid.

    Raises:
        InvalidArgument: The name is longer than :data:`MAX_NAME` characters, or is not a DNS
            subdomain name (RFC 1123) in lower case.
    """
    if len(name) > MAX_NAME or not is_object_name(name):
        raise InvalidArgument(
            f"name: {name[:200]!r} is not a name of lower-case letters, digits, '-' and '.', of at most {MAX_NAME} "
            f"characters, with a letter or a digit at both ends and beside each '.'. For example: {slug(name)!r}."
        )
    return name


def random_name(dag_id: str) -> str:
    """Return a new random name for an MLJob of a DAG, such as ``train-model-5f3c09ab``."""
    return f"{slug(dag_id)[: MAX_NAME - 2 * _SUFFIX_BYTES - 1].rstrip('-.')}-{secrets.token_hex(_SUFFIX_BYTES)}"


def slug(text: str) -> str:
    """Turn a text into a name of lower-case letters, digits and hyphens. Return ``job`` if the name
    would be empty.
    """
    ascii_text = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:MAX_NAME].rstrip("-") or "job"


def _spec_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    from .yaml_scalars import whole

    fields: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        name = _camel(key)
        if name == "dagId":
            raise InvalidArgument("spec.dagId: the argument dag_id names the DAG. Leave dagId out.")
        if name in fields:
            raise InvalidArgument(f"spec.{name}: the field is there twice. Leave {key} out.")
        found = json_value(_plain_value(value), f"spec.{name}")
        fields[name] = found if name == "conf" else whole(found)
    return fields


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain_value(value: Any) -> Any:
    """Convert a value of a spec to JSON types."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): _plain_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(entry) for entry in value]
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else value


def _checked_spec(spec: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from mljob_contract.mljob import MLJobSpec

    from .findings import meant
    from .misfits import field_of, in_words, misfits, quoted

    known = {field.alias or name for name, field in MLJobSpec.model_fields.items()}
    if unknown := sorted(spec.keys() - known):
        named = quoted(unknown[0])
        raise InvalidArgument(
            f"spec: no field {named}{meant(unknown[0], known)}. The fields are: {', '.join(sorted(known))}."
        )
    # A conf may have more levels than pydantic reads from JSON, and any values.
    errors = misfits({name: value for name, value in spec.items() if name != "conf"}, MLJobSpec)
    try:
        MLJobSpec.model_validate(spec)
    except ValidationError as error:
        errors += error.errors(include_url=False)
    if errors:
        raise InvalidArgument(f"{field_of(errors[0])}: {in_words(errors[0])}.")
    return spec
