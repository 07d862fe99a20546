"""Builds the statuses of MLJobs and of AirflowInstances.

- :mod:`.build`: the whole status of an MLJob.
- :mod:`.conditions`: conditions and their transition times.
- :mod:`.mljob_conditions`: the conditions of an MLJob.
- :mod:`.messages`: the phase, reason and message of an MLJob.
- :mod:`.summary`: the class for the phase, reason and message.
- :mod:`.context`: the inputs of the functions that build the parts of a status.
- :mod:`.workload`: the parts that differ between a run and a backfill.
- :mod:`.single_run`: these parts for a run.
- :mod:`.backfill`: these parts for a backfill.
- :mod:`.workloads`: chooses between :mod:`.single_run` and :mod:`.backfill`.
- :mod:`.tasks`: the tasks, within the limits of a status.
- :mod:`.task_entry`: the entry of one task.
- :mod:`.whole_seconds`: the precision of the times in a status.
- :mod:`.lost_outputs`: whether the outputs of a successful run are lost.
- :mod:`.disclosure`: hides texts that come from Secrets.
- :mod:`.significance`: which changes of a status are written immediately.
- :mod:`.patches`: the difference between two statuses, as a JSON merge patch.
- :mod:`.events`: the Kubernetes Events for a change of the status.
- :mod:`.airflow_instance`: the status of an AirflowInstance, and its Events.
"""
