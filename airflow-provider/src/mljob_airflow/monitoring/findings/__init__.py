"""Finds problems in the data from Airflow (:mod:`mljob_airflow.monitoring.observations`), and makes
a finding for each problem:

- :mod:`.health`: DAG files that can't be imported. Also paused or stale DAGs that are needed, for
  example because MLJobs ran the DAG lately.
- :mod:`.stuck`: runs and tasks that don't start.
- :mod:`.failures`: tasks that fail again and again with the same error. :mod:`.fingerprints`
  decides whether two errors are the same.
- :mod:`.outliers`: tasks that run longer, or wait longer for a worker, than in earlier runs.
  :mod:`.statistics` compares the times.
- :mod:`.bottlenecks`: full pools, too few workers, tasks with many retries.

:mod:`.mljobs` adds the names of the MLJobs that a finding affects. :mod:`.mutes` removes muted
findings.

The functions do no I/O and read no clock.
"""
