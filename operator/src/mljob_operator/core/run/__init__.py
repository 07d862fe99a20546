"""A run in Airflow, and what is known of it.

- :mod:`.run_key`: which MLJob and which run is meant; :mod:`.states`: Airflow's states, ranked.
- :mod:`.events`: Kafka messages of either producer, read into facts; :mod:`.offsets`: which Kafka offsets are safe to commit.
- :mod:`.facts`: what an event or an answer of Airflow's REST API says, in one internal form.
- :mod:`.observed_run`: all that is known of one run, folded from facts; :mod:`.backfill`: a range of a schedule's runs as one run.
- :mod:`.outputs`: what the run's tasks published; :mod:`.halt`: a DAG that schedules nothing; :mod:`.children`: runs that a run's tasks started.
- :mod:`.task_order`: in which order a run's tasks are set failed; :mod:`.vanishing`: many runs that are missing at once.
"""
