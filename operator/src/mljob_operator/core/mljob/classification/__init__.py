"""Classification determines the state of an MLJob. Each part of the state has its own module, which
depends only on the modules before it in this list:

- :mod:`.inputs`: the MLJob, its run, what was tried, the Airflows, and the time.
- :mod:`.current`: the newest attempt, and how far it has come.
- :mod:`.spec_change`: whether the spec has changed since the newest attempt began.
- :mod:`.deadlines`: the times at which deadlines pass.
- :mod:`.cancellation`: why and how the run is cancelled.
- :mod:`.presence`: whether Airflow has the run.
- :mod:`.confirmation`: when the operator asks Airflow to confirm events.
- :mod:`.ending`: whether the attempt is over.
- :mod:`.starting`: whether a run is to be started, when, and what blocks the start.
- :mod:`.backfill_pause`: whether a backfill is to be paused.
- :mod:`.state`: the stage of an MLJob, together with all parts of its state.
"""
