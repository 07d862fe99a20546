"""An Airflow that MLJobs may use.

- :mod:`.instance`: an AirflowInstance; :mod:`.credentials`: how the operator logs in.
- :mod:`.access`: access rules; :mod:`.admission`: the queue of MLJobs where active runs are
  limited; :mod:`.catalog`: where an MLJob's run goes, and what blocks it.
"""
