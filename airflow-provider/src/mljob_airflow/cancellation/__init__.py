"""Cancels dag runs, for the DAG :mod:`mljob_airflow.dags.mljob_cancel`.

- :mod:`.task` is the code of the DAG's only task.
- :mod:`.runs` has the steps of a cancellation.
- :mod:`.plan` decides in which order the task instances of a run are set to failed.
- :mod:`.airflow_runs` sends the requests to Airflow.
"""
