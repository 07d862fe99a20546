"""The controller of MLJobs.

- :mod:`.controller`: hands to each MLJob's worker what the watch, the topic and the change feeds tell, and wakes the worker.
- :mod:`.worker`: what is known of one MLJob, and what has arrived and waits for the next step.
- :mod:`.steps`: one step of a worker: fold what has arrived, advance, write the status, acknowledge.
- :mod:`.reconciler`: gather, decide, act, until there is nothing to do but wait.
- :mod:`.actions`, :mod:`.run_actions`, :mod:`.backfill_actions`: what is done in Airflow and Kubernetes.
- :mod:`.status_writer`: stores statuses and records Kubernetes Events.
- :mod:`.confs`, :mod:`.conf_sources`: the confs of runs, and the ConfigMaps and Secrets that they come from.
"""
