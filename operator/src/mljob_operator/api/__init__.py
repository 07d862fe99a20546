"""mljob-api, the aggregated API server for the log, the events and the graph of an MLJob's run.

Log, events and graph are subresources of an MLJob, so RBAC can allow each of them separately.
mljob-api changes nothing in Kubernetes or Airflow, so any number of replicas may run
(docs/adr/0032-aggregated-api.md).
"""
