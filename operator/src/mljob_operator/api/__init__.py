"""mljob-api, the aggregated API server for the log, the events and the graph of an MLJob's run.

Each subresource has its own RBAC permissions. mljob-api writes nothing, so any number of replicas
may run (docs/adr/0032-aggregated-api.md).
"""
