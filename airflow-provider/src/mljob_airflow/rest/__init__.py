"""Gives the tasks of this package's DAGs access to Airflow's REST API. The tasks need the REST API,
because a task of Airflow 3 has no access to the metadata database.

- :mod:`.client` reads an Airflow Connection, logs in, sends requests and raises
  :class:`.client.AirflowApiError`.
- :mod:`.paging` reads lists page by page.

The functions for the individual requests are in :mod:`mljob_airflow.cancellation.airflow_runs` and
:mod:`mljob_airflow.monitoring.rest_reader`.
"""
