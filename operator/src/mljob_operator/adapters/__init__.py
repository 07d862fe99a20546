"""The adapters for Airflow, Kubernetes, Kafka, metrics and traces. This package also serves the
operator's HTTP endpoints.

If a request to Airflow or Kubernetes fails, or the past events of a run can't be read from Kafka,
the adapters raise an exception of :mod:`mljob_operator.errors`.
"""
