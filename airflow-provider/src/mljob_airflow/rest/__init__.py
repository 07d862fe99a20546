"""Gives the tasks of this package's DAGs access to Airflow's REST API. A task of Airflow 3 has no
access to the metadata database.

- :mod:`.client` reads an Airflow Connection, logs in and sends requests.
- :mod:`.paging` reads lists page by page.

The functions for the individual requests are in :mod:`mljob_airflow.cancellation.airflow_runs` and
:mod:`mljob_airflow.monitoring.rest_reader`.
"""
