"""The Airflows in which MLJobs can have runs. An AirflowInstance is a custom resource that
describes an Airflow. The operator's settings can describe one more Airflow.

- :mod:`.instance`: an AirflowInstance as an object of the Kubernetes API.
- :mod:`.credentials`: how the operator logs in to Airflow.
- :mod:`.access`: the access rules of an Airflow.
- :mod:`.admission`: the queue of MLJobs that wait because the number of active runs is limited.
- :mod:`.catalog`: what an MLJob may do in each Airflow, and what blocks the MLJob's next run.
"""
