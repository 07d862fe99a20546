"""The adapters for Airflow, Kubernetes, Kafka, metrics and traces. This package also has the
operator's HTTP endpoints.

Failed requests to Airflow and Kubernetes, and failed reads of old events from Kafka, raise the
exceptions in :mod:`mljob_operator.errors`, and not the exceptions of the libraries.
"""
