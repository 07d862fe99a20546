"""The controller of MLJobs.

- :mod:`.controller`: passes input from the watch, the topics and the change feeds to each MLJob's
  worker, and wakes the worker.
- :mod:`.worker_state`: the observed state of one MLJob, and the inbox for the next step.
- :mod:`.steps`: one step of a worker. The step folds the inbox into the observed state, carries out
  actions, writes the status and acknowledges Kafka messages.
- :mod:`.reconciler`: decides and acts, until the next action is to wait.
- :mod:`.actions`, :mod:`.run_actions`, :mod:`.backfill_actions`: the actions in Airflow and
  Kubernetes.
- :mod:`.status_writer`: stores statuses and records Kubernetes Events.
- :mod:`.expiries`: finished MLJobs that wait for the end of their time to live.
- :mod:`.backfill_index`: backfills in progress by DAG.
- :mod:`.confs`, :mod:`.conf_sources`: the confs of runs, and their ConfigMaps and Secrets.
"""
