"""An MLJob: its object, its attempts, its state, and what to do next.

- :mod:`.job`: the object in the Kubernetes API.
- :mod:`.spec`: its spec, and the hash of the spec.
- :mod:`.identity`: the dag run id.
- :mod:`.capabilities`: what Airflow can do with a run, and what with a backfill.
- :mod:`.attempts`: the attempts. Each has a new dag run, or clears the run of an earlier attempt.
- :mod:`.transient_state`: what this process has tried.
- :mod:`.remembered`: what a stored status says about the run.
- :mod:`.tracked`: all of the above as one value.

In each round, :func:`.state.classify` builds a :class:`.state.State` from :class:`.inputs.Inputs`
once. Decisions and status read that state. Each part of a state has its own module. A module
depends only on modules before it in this list:

- :mod:`.inputs`: the MLJob, its run, what was tried, the Airflows, and the time.
- :mod:`.current`: the newest attempt, and how far it has come.
- :mod:`.spec_change`: whether the spec has changed since the attempt began.
- :mod:`.deadlines`: the times at which deadlines pass.
- :mod:`.cancellation`: why the run is cancelled.
- :mod:`.presence`: whether Airflow has the run.
- :mod:`.confirmation`: which events Airflow has not confirmed yet.
- :mod:`.ending`: whether the attempt is over.
- :mod:`.starting`: whether a run is to be started, when, and what blocks the start.
- :mod:`.backfill_pause`: whether a backfill is to be paused.
- :mod:`.state`: the stage, and all of the above together.
- :mod:`.afterwards`, :mod:`.airflow_use`, :mod:`.activity`: questions that are answered from a
  state.
- :mod:`.decisions`: what to do next, by stage; :mod:`.actions`: the actions to choose from.
"""
