"""An MLJob: its object, its attempts, its state, and what to do next.

- :mod:`.resource`: the object in the Kubernetes API, read into typed fields.
- :mod:`.identity`: the dag run ids of an MLJob.
- :mod:`.capabilities`: what the operator and Airflow can do with a single run and with a backfill.
- :mod:`.outstanding`: whether the operator still has to act for the MLJob.
- :mod:`.retry_request`: the retries that users request.
- :mod:`.upstream`: the MLJobs whose outputs the MLJob takes.
- :mod:`.cycle`: the MLJobs that wait for each other.
- :mod:`.attempts`: the attempts. Each attempt starts a new dag run, or continues an earlier run.
- :mod:`.transient_state`: what this process has tried for an MLJob, and what failed.
- :mod:`.remembered`: what a stored status says about the run.
- :mod:`.tracked`: everything that this process knows of an MLJob, as one value.
- :mod:`.timeline`, :mod:`.attempt_trace`: the times of an MLJob for metrics and traces.
- :mod:`.classification`: the state of an MLJob, such as its stage and its deadlines.
- :mod:`.afterwards`, :mod:`.airflow_use`, :mod:`.activity`: functions that answer questions about a
  state, such as whether the run is in progress.
- :mod:`.decisions`: what to do next. This module chooses one of the :mod:`.actions`.
"""
