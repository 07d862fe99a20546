"""The conf of a run.

- :mod:`.conf`: merges the conf from ConfigMaps, Secrets, outputs of other MLJobs and the spec.
- :mod:`.param_schemas`: checks the conf against the params of the DAG.
- :mod:`.redaction`: hides texts that came from Secrets.
"""
