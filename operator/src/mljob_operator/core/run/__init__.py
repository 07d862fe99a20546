"""A run in Airflow, and what the operator knows of the run.

- :mod:`.run_key`: the keys of MLJobs and runs.
- :mod:`.states`: Airflow's states of runs and tasks, and the order of these states.
- :mod:`.events`: reads Kafka messages of the MLJob provider and of Airflow's own producer into
  facts.
- :mod:`.offsets`: which Kafka offsets are safe to commit.
- :mod:`.facts`: the content of events and of answers of Airflow's REST API, in one form.
- :mod:`.task_merging`: combines facts about one task instance.
- :mod:`.observed_run`: combines facts into everything that the operator knows of one run.
- :mod:`.backfill`: a backfill and its runs, which the operator treats as one run.
- :mod:`.outputs`: what the tasks of a run published.
- :mod:`.followed_try`: the task whose log people want to see, and the state of a task's try.
- :mod:`.log_lines`: the entries of a task's log as lines of text.
- :mod:`.halt`: a DAG that schedules no tasks.
- :mod:`.children`: runs that the tasks of a run have started.
- :mod:`.task_order`: the order in which a cancellation sets tasks to failed.
- :mod:`.vanishing`: many runs that are missing in Airflow at once.
"""
