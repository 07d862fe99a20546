"""Cancelling dag runs.

The DAG ``mljob_cancel`` (:mod:`mljob_airflow.dags.mljob_cancel`) runs one task, :mod:`.task`: it
reads the runs to cancel from the DAG's params, has them cancelled, and sends an event about each.
:mod:`.runs` cancels them: which task instances fail in which order comes from :mod:`.plan`,
requests to Airflow go through :mod:`.airflow_runs`.
"""
