"""Merges the conf of a run from ConfigMaps, Secrets, outputs of other MLJobs and ``spec.conf``, and
checks the conf against the DAG's params.

The operator sends values from Secrets to Airflow only. :mod:`.redaction` removes them from all
other texts, such as the status.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from jsonschema import ValidationError

from mljob_contract.mljob import MLJobSpec
from mljob_contract.param_schema import ADDITIONAL_PARAMS

from ..frozen import frozen
from ..text.bounds import CONF
from ..text.spelling import meant, of_param
from ..text.storable import cut
from .param_schemas import Checks
from .redaction import texts

MAX_PROBLEMS = 20
"""The maximum number of problems that are reported for one conf."""
MAX_PROBLEM = 2000
"""The maximum length of one problem's text, in characters. The text is jsonschema's message, which
quotes the whole value and schema.
"""
MAX_UNKNOWN = 5
"""The maximum number of unknown keys that are reported for one conf."""
MAX_KEY = 100
"""The maximum length of a key in a problem's text, in characters."""


@frozen
class Source:
    """A ConfigMap or Secret that an entry of ``spec.confFrom`` names, or the outputs of an MLJob.

    Attributes:
        what: The name of the source in messages, such as ``Secret warehouse`` or
            ``the outputs of MLJob prepare``.
        data: The keys and values of the ConfigMap, Secret or outputs.
        secret: Whether the source is a Secret.
        typed: Whether the values are JSON values, as outputs are. The values of ConfigMaps and
            Secrets are strings.
        field: The field of the spec that names the source, such as ``spec.confFrom[0]``.
    """

    what: str
    data: Mapping[str, Any]
    secret: bool
    typed: bool = False
    field: str = "spec.confFrom"


def merged(own: Mapping[str, Any], sources: Iterable[Source]) -> dict[str, Any]:
    """Merge the sources and ``own`` (``spec.conf``) into one conf.

    If a key is in several sources, the conf has the value of the last of these sources. Keys of
    ``own`` override the same keys of sources.

    A ConfigMap or Secret may have keys with the suffix ``.json``. The value of such a key is a JSON
    object, and the fields of this object become keys of the conf. Keys without this suffix override
    the fields from the same ConfigMap or Secret.

    Raises:
        ValueError: The value of a ``.json`` key is not a JSON object, or is larger or nested deeper
            than a conf may be (``CONF``).
    """
    conf: dict[str, Any] = {}
    for source in sources:
        conf |= _fields(source)
    return conf | dict(own)


def origins(own: Mapping[str, Any], sources: Iterable[Source]) -> dict[str, Source]:
    """Return a mapping from the keys of the merged conf (:func:`merged`) to the :class:`Source` of
    each key's value. Keys of ``own`` (``spec.conf``) have no entry.

    Raises:
        ValueError: As for :func:`merged`.
    """
    return {key: source for source in sources for key in _fields(source) if key not in own}


def _fields(source: Source) -> dict[str, Any]:
    if source.typed:
        return dict(source.data)
    fields: dict[str, Any] = {}
    for key, value in sorted(source.data.items(), key=lambda item: (not item[0].endswith(".json"), item[0])):
        fields |= _object(source, key, value) if key.endswith(".json") else {key: value}
    return fields


def has_secrets(spec: MLJobSpec) -> bool:
    """Return whether ``spec.confFrom`` names a Secret."""
    return any(source.secret_ref is not None for source in spec.conf_from)


def secrets(sources: Iterable[Source]) -> set[str]:
    """Return the values of the Secrets in ``sources``. For a ``.json`` key, also return each string
    and number in the JSON.
    """
    found: set[str] = set()
    for source in sources:
        if source.secret:
            for key, value in source.data.items():
                found.add(value)
                if key.endswith(".json"):
                    found.update(_texts_of_json(value))
    return found


def not_public(conf: Mapping[str, Any], own: Mapping[str, Any], sources: Iterable[Source]) -> set[str]:
    """Return the strings and numbers in a run's conf that may have come from a Secret. The result
    does not depend on the Secrets, which may have changed since the submission.

    A value of ``conf`` is public if its key has the same value in a merge of the ConfigMaps, the
    outputs and ``own``, without the Secrets. The result has the strings and numbers in all other
    values, as text.

    Args:
        conf: The conf of the run, as Airflow has it.
        own: ``spec.conf``.
        sources: The ConfigMaps, Secrets and outputs of ``spec.confFrom``.
    """
    public: dict[str, Any] = {}
    for source in sources:
        if not source.secret:
            with suppress(ValueError):
                public |= merged({}, [source])
    public |= own
    return {text for key, value in conf.items() if key not in public or public[key] != value for text in texts(value)}


def unknown_keys(
    conf: Mapping[str, Any], params: Mapping[str, Any], sources: Mapping[str, Source] | None = None
) -> list[str]:
    """Return the keys of a conf that are not params of the DAG, each as
    ``<field>.<key>: <reason>``. The field is ``spec.conf``, or the field of the key's
    :class:`Source`. After ``MAX_UNKNOWN`` keys, the last entry says how many more there are. The
    result is empty for a DAG without params, because such a DAG may read any key.

    Args:
        conf: The conf to submit.
        params: The DAG's params, as for :func:`problems`.
        sources: The sources of the keys that are not in ``spec.conf`` (:func:`origins`).
    """
    unknown = [name for name in conf if name not in params] if params else []
    found = [
        f"{_field(sources, name)}.{cut(name, MAX_KEY)}: the DAG has no such param{meant(name, params)}"
        for name in unknown[:MAX_UNKNOWN]
    ]
    return [*found, f"and {len(unknown) - MAX_UNKNOWN} more"] if len(unknown) > MAX_UNKNOWN else found


def refuses_unknown_keys(params: Mapping[str, Any]) -> bool:
    """Return whether keys that are not params of the DAG are forbidden in a conf. They are
    forbidden if the schema of at least one param has the key ``x-mljob-additional-params``
    (``ADDITIONAL_PARAMS``) with the value false.
    """
    schemas = (param.get("schema") for param in params.values() if isinstance(param, Mapping))
    return any(isinstance(schema, Mapping) and schema.get(ADDITIONAL_PARAMS) is False for schema in schemas)


def problems(
    conf: Mapping[str, Any], params: Mapping[str, Any], sources: Mapping[str, Source] | None = None
) -> list[str]:
    """Return the problems for which Airflow would refuse a conf, each as
    ``<field>.<path>: <reason>``. The field is ``spec.conf``, or the entry of ``spec.confFrom`` with
    the invalid value. The result has at most ``MAX_PROBLEMS`` problems.

    Some invalid values are not found, because the operator skips checks that may take too long
    (:mod:`.param_schemas`). For a param that is not in the conf, the default value is checked. Keys
    that are not params are checked only for NUL characters (see :func:`unknown_keys`).

    Args:
        conf: The conf to submit.
        params: The DAG's params from ``GET /dags/{id}/details``. Each param has a default ``value``
            and a JSON ``schema``.
        sources: The sources of the keys that are not in ``spec.conf`` (:func:`origins`).
    """
    with_nul = (name for name, value in conf.items() if r"\u0000" in json.dumps([name, value]).replace("\\\\", ""))
    found = [
        f"{_field(sources, name)}.{name}: has a NUL character, which Airflow's database can't hold"
        for name in islice(with_nul, MAX_PROBLEMS)
    ]
    checks = Checks()
    for name, param in params.items():
        if len(found) >= MAX_PROBLEMS:
            break
        rules: Mapping[str, Any] = param if isinstance(param, Mapping) else {}
        schema = rules.get("schema")
        error = checks.problem(conf.get(name, rules.get("value")), schema)
        if error is not None and name in conf:
            hint = _hint(error, name, conf[name], (sources or {}).get(name))
            found.append(
                f"{_field(sources, name)}.{name}{error.json_path[1:]}: {cut(error.message, MAX_PROBLEM)}{hint}"
            )
        elif error is not None:
            kind = schema.get("type") if isinstance(schema, Mapping) else None
            found.append(f"spec.conf.{name}: required{f', of type {kind}' if isinstance(kind, str) else ''}")
    return found


def excess(conf: Mapping[str, Any], sources: Iterable[Source]) -> str | None:
    """Return an error message if a merged conf exceeds a limit of size or depth. Otherwise return
    None.
    """
    if (over := CONF.excess(conf)) is None:
        return None
    parts = ", ".join(["spec.conf", *(source.what for source in sources)])
    return f"The conf merged from {parts} {over}. Make the conf smaller, or store large values where the DAG can read them and put their location into the conf."


def _field(sources: Mapping[str, Source] | None, key: str) -> str:
    source = (sources or {}).get(key)
    return f"{source.field} ({source.what})" if source is not None else "spec.conf"


def _hint(error: ValidationError, name: str, value: Any, source: Source | None) -> str:
    hints = [of_param(error.message)]
    is_text = source is not None and not source.typed and source.data.get(name) == value
    if source is not None and is_text and error.validator == "type" and not error.path:
        hints.append(
            f"the values of {source.what} are strings; a key with the suffix .json holds JSON, "
            f"such as more.json: {{{json.dumps(cut(name, MAX_KEY))}: ...}}"
        )
    text = "; ".join(hint for hint in hints if hint is not None)
    return f" ({text})" if text else ""


def _object(source: Source, key: str, text: str) -> dict[str, Any]:
    if len(text) > CONF.size:
        raise ValueError(
            f"{source.what}: the value of {key} has {len(text)} characters, and a conf may have at most {CONF.size} bytes"
        )
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"{source.what}: the value of {key} is nested more than {CONF.levels} levels deep") from None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(
            f"{source.what}: the value of {key} is not a JSON object. A key that ends in .json must hold one"
        )
    if (over := CONF.excess(value)) is not None:
        raise ValueError(f"{source.what}: the value of {key} {over}")
    return value


def _texts_of_json(text: str) -> Iterable[str]:
    try:
        return list(texts(json.loads(text)))
    except (ValueError, RecursionError):
        return ()
