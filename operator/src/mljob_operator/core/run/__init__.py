"""What the operator knows of a run in Airflow.

- :mod:`.run_key`: the keys of MLJobs and runs.
- :mod:`.states`: Airflow's states of runs and tasks.
- :mod:`.events`: converts Kafka messages into facts.
- :mod:`.offsets`: the Kafka offsets that are safe to commit.
- :mod:`.facts`: what Kafka messages and Airflow's REST API say about runs and tasks.
- :mod:`.task_merging`: combines facts about one task instance.
- :mod:`.observed_run`: combines facts about one run.
- :mod:`.backfill`: a backfill, which the operator treats as one run.
- :mod:`.outputs`: what the tasks of a run published.
- :mod:`.followed_try`: the choice of the task whose log is shown, and the state of a try.
- :mod:`.log_lines`: writes a task's log as lines of text.
- :mod:`.halt`: a paused or removed DAG, for which Airflow schedules no further tasks.
- :mod:`.children`: runs that the tasks of a run have started.
- :mod:`.task_order`: the order in which a cancellation sets tasks to failed.
- :mod:`.accepted_loss`: the time before which missing runs were submitted whose loss is accepted.
- :mod:`.vanishing`: many runs that are missing in Airflow at once.
"""
