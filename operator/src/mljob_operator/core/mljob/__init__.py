"""An MLJob: its object, its attempts, its state, and what to do next.

- :mod:`.job`: the object as the core sees it; :mod:`.spec`: its spec and the spec's hash;
  :mod:`.identity`: the dag run id; :mod:`.attempts`: attempts, each with a new dag run or a cleared
  one.
- :mod:`.transient_state`: what this process has tried; :mod:`.remembered`: what a stored status
  says of the run; :mod:`.tracked`: all of that as one value.

In each round, :func:`.state.classify` builds a :class:`.state.State` from :class:`.inputs.Inputs`
once. Decisions and status read that state. Each part of a state has a module of its own, and
depends only on parts that come before it in this list:

- :mod:`.inputs`: the MLJob, its run, what was tried, the Airflows, and the time.
- :mod:`.current`: the newest attempt, and how far it has come.
- :mod:`.spec_change`: whether the spec has changed since the attempt began.
- :mod:`.deadlines`: the times at which deadlines pass.
- :mod:`.cancellation`: why the run is cancelled.
- :mod:`.presence`: whether Airflow has the run; :mod:`.confirmation`: which events Airflow has not
  confirmed yet.
- :mod:`.ending`: whether the attempt is over.
- :mod:`.starting`: whether a run is to be started, when, and what blocks it; :mod:`.pausing`:
  whether a backfill is to be paused.
- :mod:`.state`: the stage, and all of the above together.
- :mod:`.afterwards`, :mod:`.airflow_use`, :mod:`.activity`: further questions that a state answers.
- :mod:`.decisions`: what to do next, by stage.
"""
