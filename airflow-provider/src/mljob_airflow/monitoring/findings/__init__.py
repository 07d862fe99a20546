"""Decides what is wrong in Airflow, from data of :mod:`mljob_airflow.monitoring.observations`.

Each problem is a finding. These modules make findings:

- :mod:`.health`: DAGs that are paused, stale or broken although something needs them.
- :mod:`.stuck`: runs and tasks that don't start.
- :mod:`.failures`: tasks that fail again and again with the same error, told apart by
  :mod:`.fingerprints`.
- :mod:`.outliers`: tasks that take or wait longer than before, by :mod:`.statistics`.
- :mod:`.bottlenecks`: full pools, missing workers, tasks with many retries.

:mod:`.mljobs` adds the names of the MLJobs that a finding affects, and :mod:`.mutes` removes the
findings that somebody has muted. All functions of the package are pure: they do no I/O and read no
clock.
"""
