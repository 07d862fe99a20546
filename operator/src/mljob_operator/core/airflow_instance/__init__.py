"""An Airflow that MLJobs may use.

- :mod:`.instance`: an AirflowInstance as an object of the Kubernetes API.
- :mod:`.credentials`: how the operator logs in to Airflow.
- :mod:`.access`: the access rules of an Airflow.
- :mod:`.admission`: the queue of MLJobs if the number of active runs is limited.
- :mod:`.catalog`: chooses the Airflow for an MLJob's run, and says what blocks the run.
"""
