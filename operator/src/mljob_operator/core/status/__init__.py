"""Builds the statuses of MLJobs and of AirflowInstances.

- :mod:`.build`: builds the whole status.
- :mod:`.conditions`: conditions and their transition times.
- :mod:`.mljob_conditions`: the conditions of an MLJob.
- :mod:`.messages`: the phase, reason and message of an MLJob. :mod:`.summary` has the class for all
  three.
- :mod:`.context`: the inputs of the functions that build the parts of a status.
- :mod:`.workload`: the parts that differ between a single run (:mod:`.single_run`) and a backfill
  (:mod:`.backfill`). :mod:`.workloads` chooses between the two.
- :mod:`.tasks`: the tasks, within the limits of a status. :mod:`.task_entry` builds the entry of
  one task.
- :mod:`.whole_seconds`: the precision of the times in a status.
- :mod:`.lost_outputs`: whether the outputs of a successful run are lost.
- :mod:`.disclosure`: hides texts that come from Secrets.
- :mod:`.significance`: decides which changes of a status are written immediately, and which wait.
- :mod:`.patches`: the difference between two statuses, as a JSON merge patch.
- :mod:`.events`: the Kubernetes Events for a change of the status.
- :mod:`.airflow_instance`: the status of an AirflowInstance, and its Events.
"""
