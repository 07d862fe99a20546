"""mljob-api, the aggregated API server of ``run.mljob.dev``: the log, the events and the graph of
an MLJob's run, as subresources with permissions of their own (RBAC).

``python -m mljob_operator.api`` starts mljob-api. The process reads MLJobs and AirflowInstances
from the Kubernetes API, logs and graphs from Airflow, and events from Kafka. mljob-api writes
nothing and stores nothing, so any number of replicas may run (docs/adr/0032-aggregated-api.md).
"""
