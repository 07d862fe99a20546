"""The controller of MLJobs.

- :mod:`.controller` passes input from the watch, the topics and the change feeds to each MLJob's
  worker, and wakes the worker.
- :mod:`.worker_state` has the state of one MLJob's worker, and the inbox for the next step.
- :mod:`.steps` takes the steps of a worker. A step folds the inbox into the observed run, carries
  out actions, writes the status and acknowledges Kafka messages.
- :mod:`.reconciler` decides and acts, again and again, until the next action is to wait.
- :mod:`.actions` has the protocol of the actions that differ between a single run and a backfill.
  :mod:`.run_actions` and :mod:`.backfill_actions` implement it.
- :mod:`.status_writer` stores statuses and records Kubernetes Events.
- :mod:`.expiries` wakes finished MLJobs at the end of their time to live.
- :mod:`.backfill_index` finds the MLJobs that have a backfill of a DAG in progress.
- :mod:`.upstreams` knows the MLJobs whose outputs other MLJobs wait for, and finds the MLJobs that
  wait. :mod:`.paced_wake` wakes these in batches.
- :mod:`.confs` builds the confs of runs, and :mod:`.conf_sources` watches the ConfigMaps and
  Secrets that MLJobs wait for.
"""
