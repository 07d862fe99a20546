"""The code of the DAG ``mljob_cancel``, which cancels runs of other DAGs.

:mod:`mljob_airflow.dags.mljob_cancel` defines the DAG.

- :mod:`.task` is the code of the DAG's only task.
- :mod:`.runs` has the steps of a cancellation.
- :mod:`.plan` decides in which order the task instances of a run are set to failed.
- :mod:`.airflow_runs` sends the requests to Airflow.
"""
