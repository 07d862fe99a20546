"""The adapters for Airflow, Kubernetes and Kafka, for metrics and traces, and the operator's HTTP
endpoints.

Each adapter maps its library's exceptions to :mod:`mljob_operator.errors`.
"""
