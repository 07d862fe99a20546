"""The adapters for Airflow, Kubernetes and Kafka, and the operator's HTTP endpoints.

Each adapter maps its library's exceptions to :mod:`mljob_operator.errors`.
"""
