"""A run in Airflow, and what is known of it.

- :mod:`.run_key`: the keys of MLJobs and runs; :mod:`.states`: Airflow's states, ranked.
- :mod:`.events`: Kafka messages of both producers, read into facts; :mod:`.offsets`: which Kafka
  offsets are safe to commit.
- :mod:`.facts`: what an event or an answer of Airflow's REST API says, in one form.
- :mod:`.observed_run`: all that is known of one run, folded from facts; :mod:`.backfill`: a
  backfill with its runs, as one run.
- :mod:`.outputs`: what the run's tasks published; :mod:`.halt`: a DAG that schedules no tasks;
  :mod:`.children`: runs that a run's tasks started.
- :mod:`.task_order`: the order in which a cancellation sets tasks failed; :mod:`.vanishing`: many
  runs that are missing at once.
"""
