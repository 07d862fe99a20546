"""The keyword ``x-mljob-additional-params`` in the JSON Schemas of a DAG's params. If the schema of
at least one param has the keyword with the value false, the operator refuses a conf with keys that
are not params of the DAG. The decorator ``mljob_dag`` adds the keyword with the value false to the
schema of each param, unless the Pydantic model of the DAG's params has ``extra="allow"``.

Airflow itself can't refuse such keys: it has a schema for each param, but no schema for the whole
conf.
"""

from __future__ import annotations

ADDITIONAL_PARAMS = "x-mljob-additional-params"
"""If a param's schema has this keyword with the value false, a conf of the DAG must have no other
keys than the DAG's params. So the keyword works for a conf as ``additionalProperties`` of JSON
Schema works for an object. Validators ignore keywords that they don't know (JSON Schema 2020-12,
Core, section 6.5).
"""
