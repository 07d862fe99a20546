"""The adapters for Airflow, Kubernetes and Kafka, for metrics and traces, and the operator's HTTP
endpoints.

Failed requests to Airflow and Kubernetes, and failed reads of old events from Kafka, raise the
exceptions in :mod:`mljob_operator.errors`, and not the exceptions of the libraries.
"""
