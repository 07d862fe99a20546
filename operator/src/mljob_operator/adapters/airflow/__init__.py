"""The adapter for Airflow 3's REST API (``/api/v2``), through apache-airflow-client.

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

- :mod:`.client` is the adapter of one Airflow. It probes the Airflow.
- :mod:`.dag_runs` has the operations on dag runs.
- :mod:`.backfills` has the operations on backfills.
- :mod:`.lanes` runs the operations in threads, and has a circuit breaker for an Airflow that does
  not answer.

These modules send the requests of the operations:

- :mod:`.runs` submits, reads and clears single dag runs.
- :mod:`.refusals` explains why Airflow did not trigger a DAG.
- :mod:`.outputs` reads the outputs of tasks, which are XComs.
- :mod:`.children` finds the runs that tasks have started.
- :mod:`.cancellation` cancels runs.
- :mod:`.changes` lists the changes of all runs with the operator's prefix.

These modules handle what all requests have in common:

- :mod:`.session` logs in and sends requests. :mod:`.tokens` gets bearer tokens, and
  :mod:`.single_flight` shares a login between threads. :mod:`.versions` checks Airflow's version.
- :mod:`.answers` decides whether an answer is Airflow's. :mod:`.absence` has the texts by which
  Airflow says that an object does not exist. :mod:`.rows` reads the fields of an answer, and
  :mod:`.xcom_values` converts the values of XComs.

Answers are read as JSON and not as the client's models. The models refuse states that a later
Airflow adds. For a page of a hundred task instances, the models take more time than the request.
"""
