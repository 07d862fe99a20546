"""The state of one MLJob: what is known of it is classified once a round, and decisions and status read the result.

:func:`.state.classify` builds a :class:`.state.State` from :class:`.inputs.Inputs`. Each part of a state has a module of its own, and a part depends only on
parts that come before it in this list:

- :mod:`.inputs`: the MLJob, its run, what was tried, the Airflows, and the time.
- :mod:`.current`: the newest attempt, and how far it has come.
- :mod:`.spec_change`: whether the spec has changed since the attempt began.
- :mod:`.deadlines`: when time is up.
- :mod:`.cancellation`: why the run is cancelled.
- :mod:`.pausing`: whether a backfill is to be paused.
- :mod:`.presence`: whether Airflow has the run.
- :mod:`.confirmation`: which events Airflow has not confirmed yet.
- :mod:`.ending`: whether the attempt is over.
- :mod:`.starting`: whether a run is to be started, when, and what blocks it.
- :mod:`.state`: the stage, and all of the above together.
"""
