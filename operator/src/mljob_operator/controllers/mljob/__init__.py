"""The controller of MLJobs.

These modules handle the input of an MLJob, from its arrival to the writes that follow from it:

- :mod:`.controller` passes input from the watch, the topics and the change feeds to each MLJob's
  worker.
- :mod:`.workers` wakes the workers and starts their steps. :mod:`.paced_wake` wakes many MLJobs in
  batches. :mod:`.waiting_jobs` wakes the MLJobs that wait for Airflows, access rules, logins or
  limits. :mod:`.expiries` wakes finished MLJobs at the end of their time to live.
- :mod:`.worker_state` has the state of one MLJob's worker, and the worker's inbox. The inbox is the
  input that the worker has not read yet.
- :mod:`.steps` runs the steps of a worker. A step reads the input in the inbox, updates the
  observed state of the run, carries out actions, writes the status and acknowledges Kafka messages.
- :mod:`.reconciler` decides on the next action, and carries the action out. The reconciler repeats
  this until the next action is to wait. :mod:`.classifier` determines the state from which the
  reconciler decides, and lets MLJobs submit runs when the limits of their Airflow allow this
  (admission).
- :mod:`.actions` has the protocol of the actions that differ between a single run and a backfill.
  :mod:`.run_actions` and :mod:`.backfill_actions` implement the protocol. :mod:`.shared_actions`
  and :mod:`.cancellation_actions` have the other actions.
- :mod:`.write_queue` lets writes wait while the Kubernetes API server can't keep up.
  :mod:`.write_pace` decides how many writes are sent at once, and :mod:`.queued_jobs` sends all
  writes through the queue.
- :mod:`.status_writer` stores statuses and records Kubernetes Events. :mod:`.status_redaction`
  redacts the texts of a status. :mod:`.milestones` measures how long an attempt waited and ran,
  when a stored status shows the end of a stage.

These modules have facts that the workers need:

- :mod:`.upstreams` knows the MLJobs whose outputs other MLJobs wait for, and finds the waiting
  MLJobs.
- :mod:`.confs` builds the confs of runs, and :mod:`.hidden_texts` finds those texts of a conf that
  may have come from Secrets. :mod:`.conf_sources` watches the ConfigMaps and Secrets that MLJobs
  wait for.
- :mod:`.backfill_index` finds the MLJobs that have a backfill of a DAG in progress.
- :mod:`.past_jobs` remembers which MLJobs and runs need no worker any more.

Other packages use these modules:

- :mod:`.lister` lists the MLJobs of an Airflow. :mod:`.feed_index` is an index of the unfinished
  MLJobs. The reader of a change feed looks up in this index whether a change in Airflow is
  expected.
- :mod:`.vanished_runs` records which runs are missing in Airflow's lists of active runs, and wakes
  the MLJobs of these runs when the missing runs begin or cease to count as deleted.
"""
