"""An Airflow that MLJobs may use.

- :mod:`.instance`: an AirflowInstance as an object of the Kubernetes API.
- :mod:`.credentials`: how the operator logs in to Airflow.
- :mod:`.access`: the access rules of an Airflow.
- :mod:`.admission`: the queue of MLJobs that wait because the number of active runs is limited.
- :mod:`.catalog`: the Airflows that the operator knows, and what blocks a run in one of them.
"""
