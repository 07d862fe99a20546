"""The adapters for Airflow, Kubernetes and Kafka, for metrics and traces, and the operator's HTTP
endpoints.

Each adapter turns the exceptions of the library that it uses into the exceptions in
:mod:`mljob_operator.errors`.
"""
