"""The adapter for Airflow 3's REST API (``/api/v2``), through apache-airflow-client.

These modules offer operations to the rest of the operator:

- :mod:`.client` is the adapter of one Airflow, and checks whether this Airflow accepts the
  credentials.
- :mod:`.dag_runs` has the operations on dag runs.
- :mod:`.backfills` has the operations on backfills.

These modules send the requests of the operations:

- :mod:`.run_requests` submits, reads and clears single dag runs.
- :mod:`.structure` reads the tasks of a DAG.
- :mod:`.task_logs` reads the logs of tasks. :mod:`.log_document` splits a log into its entries.
- :mod:`.refusals` explains why Airflow did not trigger a DAG.
- :mod:`.outputs` reads the outputs of tasks, which are XComs. :mod:`.xcom_entry` reads one XCom,
  and :mod:`.xcom_values` converts its value.
- :mod:`.children` finds the runs that tasks have started.
- :mod:`.cancellation` cancels runs.
- :mod:`.changes` lists the changes of all runs with the operator's prefix.

The modules above use these modules:

- :mod:`.lanes` runs the operations in threads. Each kind of request has its own group of threads.
- :mod:`.session` logs in and sends requests. :mod:`.lists` requests the pages of a list.
- :mod:`.bearer_auth` adds the bearer token to a request, and decides when a refused token is
  renewed. :mod:`.tokens` gets bearer tokens, and :mod:`.single_flight` shares a login between
  threads.
- :mod:`.versions` checks Airflow's version.
- :mod:`.answers` decides whether an answer comes from Airflow.
- :mod:`.absence` has the texts by which Airflow says that an object does not exist.
- :mod:`.bodies` reads the body of an answer, :mod:`.response_headers` reads the headers, and
  :mod:`.rows` reads the fields in the body.
- :mod:`.connection_errors` raises AirflowUnavailable for a request without an answer.

The modules read answers as JSON, without the models of apache-airflow-client. These models refuse
states that a later Airflow adds. Building these models for a hundred task instances takes more time
than the request.
"""
