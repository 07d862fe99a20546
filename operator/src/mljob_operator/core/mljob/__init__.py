"""An MLJob: its object, its attempts, its state, and what to do next.

- :mod:`.job`: the object in the Kubernetes API.
- :mod:`.spec`: the spec of the object, and the hash of the spec.
- :mod:`.stored_status`: the status of the object.
- :mod:`.packing`: compresses the spec and the status of MLJobs that wait.
- :mod:`.finished`: the annotation that records how the MLJob ended.
- :mod:`.identity`: the dag run ids of an MLJob.
- :mod:`.capabilities`: what Airflow can do with a single run, and what Airflow can do with a
  backfill.
- :mod:`.outstanding`: whether the operator still has to act for the MLJob.
- :mod:`.retry_request`: the retries that users request.
- :mod:`.upstream`: the MLJobs whose outputs the MLJob takes.
- :mod:`.cycle`: the MLJobs that wait for each other.
- :mod:`.attempts`: the attempts. Each attempt starts a new dag run, or continues the run of the
  previous attempt after tasks of this run were cleared.
- :mod:`.transient_state`: what this process has tried for an MLJob, and what failed.
- :mod:`.remembered`: the knowledge about the run that a stored status contains.
- :mod:`.tracked`: everything that this process knows of an MLJob, as one value.
- :mod:`.timeline`, :mod:`.attempt_trace`, :mod:`.job_labels`: the times and properties of an MLJob
  for metrics and traces.

In each round of the reconciler, :func:`.state.classify` builds one :class:`.state.State` from
:class:`.inputs.Inputs`. Decisions and the status read this state. Each part of a state has its own
module. Of the modules in this list, a module depends only on those before it:

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
- :mod:`.afterwards`, :mod:`.airflow_use`, :mod:`.activity`: functions that answer questions about a
  state, such as whether the run is in progress.
- :mod:`.decisions`: what to do next, by stage. This module chooses one of the :mod:`.actions`.
"""
