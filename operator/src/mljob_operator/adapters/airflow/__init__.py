"""Airflow 3's REST API (``/api/v2``) through apache-airflow-client.

- :mod:`.client`: one Airflow; :mod:`.dag_runs`: its operations, each in the lane of its kind of
  work.
- :mod:`.lanes`: threads for each kind of work, and the circuit breaker for an Airflow without
  answers.
- :mod:`.run_requests`: one dag run and its task instances; :mod:`.refusals`: why a DAG was not
  triggered.
- :mod:`.outputs`: the outputs of tasks, in XComs; :mod:`.children`: runs that tasks have started.
- :mod:`.cancellation`: ends runs.
- :mod:`.changes`: the changes of all runs with the operator's prefix.
- :mod:`.backfills`: backfills and their runs.
- :mod:`.session`: logs in and sends requests; :mod:`.tokens`: the sources of bearer tokens;
  :mod:`.versions`: the differences between Airflow's versions.
- :mod:`.answers`: which answers count as Airflow's; :mod:`.absence`: how Airflow says that an
  object does not exist; :mod:`.rows`: the fields of answers.

Answers are read as JSON instead of the client's models: the models refuse states that a later
Airflow adds, and for a page of a hundred task instances they take more time than the request.
"""
