"""The conf of a run.

- :mod:`.conf`: the conf, merged from ConfigMaps, Secrets and the spec; :mod:`.param_schemas`: its
  check against the DAG's params.
- :mod:`.redaction`: finds and hides texts that came from Secrets, in their usual encodings.
"""
