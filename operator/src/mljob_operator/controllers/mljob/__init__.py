"""The controller of MLJobs. Its most important modules are:

- :mod:`.controller` receives input from the watch, from Kafka and from Airflow, and passes each
  input to the worker of an MLJob.
- :mod:`.workers` starts the steps of all workers. :mod:`.worker_state` has the state of one worker,
  and the input that the worker has not read yet.
- :mod:`.steps` runs one step of a worker. A step reads the input, acts in Airflow and writes the
  status.
- :mod:`.classifier` determines the state of an MLJob, and decides whether the MLJob may submit a
  run. :mod:`.reconciler` chooses actions from this state, and carries the actions out.
- :mod:`.run_actions`, :mod:`.backfill_actions`, :mod:`.shared_actions` and
  :mod:`.cancellation_actions` implement the actions.
- :mod:`.status_writer` stores statuses and records Kubernetes Events. :mod:`.write_queue` lets
  writes wait while the Kubernetes API server can't keep up.
"""
