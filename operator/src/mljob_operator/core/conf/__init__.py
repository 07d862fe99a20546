"""The conf of a run.

- :mod:`.conf`: made from ConfigMaps, Secrets and the spec; :mod:`.param_schemas`: checked against the DAG's params.
- :mod:`.redaction`: texts that came from Secrets, found in every spelling.
"""
