"""The controller of MLJobs.

- :mod:`.controller`: passes input from the watch, the topics and the change feeds to each MLJob's
  worker, and wakes the worker.
- :mod:`.worker_state`: the observed state of one MLJob, and the inbox for the next step.
- :mod:`.steps`: a worker's step: fold the inbox, advance, write the status, acknowledge the
  messages.
- :mod:`.reconciler`: observe, decide and act, until there is nothing left to do but wait.
- :mod:`.actions`, :mod:`.run_actions`, :mod:`.backfill_actions`: the actions in Airflow and
  Kubernetes.
- :mod:`.status_writer`: stores statuses and records Kubernetes Events.
- :mod:`.expiries`: finished MLJobs that wait for the end of their time to live.
- :mod:`.backfill_index`: backfills in progress by DAG.
- :mod:`.confs`, :mod:`.conf_sources`: the confs of runs, and their ConfigMaps and Secrets.
"""
