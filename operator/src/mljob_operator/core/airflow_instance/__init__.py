"""An Airflow that MLJobs may use.

- :mod:`.instance`: an AirflowInstance; :mod:`.credentials`: how the operator logs in.
- :mod:`.access`: who may run what; :mod:`.admission`: who is next where runs are limited; :mod:`.catalog`: where an MLJob's run goes, and what blocks it.
"""
