"""Classification determines the state of an MLJob. Each part of the state has its own module. No
module in this list depends on a later module in this list:

- :mod:`.inputs`: the data from which the state is computed, such as the MLJob and its run.
- :mod:`.current`: the newest attempt, and how far it has come.
- :mod:`.spec_change`: whether the spec has changed since the newest attempt began.
- :mod:`.deadlines`: the times at which deadlines pass.
- :mod:`.cancellation`: why and how the run is cancelled.
- :mod:`.presence`: whether Airflow has the run.
- :mod:`.confirmation`: when the operator asks Airflow to confirm events.
- :mod:`.ending`: whether the attempt is over.
- :mod:`.starting`: whether a run is to be started, when, and what blocks the start.
- :mod:`.backfill_pause`: whether a backfill is to be paused.
- :mod:`.state`: the whole state, which contains the parts from the other modules.
"""
