"""Cancels dag runs.

- :mod:`.task` has the only task of the DAG ``mljob_cancel``
  (:mod:`mljob_airflow.dags.mljob_cancel`). The task reads from the DAG's params which runs to
  cancel, cancels the runs, and sends an event about each run.
- :mod:`.runs` has the steps of a cancellation.
- :mod:`.plan` decides in which order the task instances of a run are set to failed.
- :mod:`.airflow_runs` sends the requests to Airflow.
"""
