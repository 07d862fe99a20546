"""The conf of a run.

- :mod:`.conf`: merges the conf from the spec of the MLJob, from ConfigMaps and Secrets, and from
  the outputs of other MLJobs.
- :mod:`.param_schemas`: checks the conf against the params of the DAG.
- :mod:`.redaction`: replaces texts that came from Secrets with ``***``.
"""
