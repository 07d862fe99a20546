"""A simulated Airflow: one process that serves Airflow's REST API, runs DAGs without executing any
code, and publishes events to a Kafka topic, in the formats of Airflow's own producer, of
``mljob_airflow``, or of both.

Benchmarks, tests with generated objects and load tests use the simulated Airflow, because a real
Airflow would need more of the machine than the program under test. A run of five tasks takes about
a millisecond of CPU. ``tests/contract`` compares the simulated REST API with a real Airflow's: the
same suite runs against both.

- ``dags`` defines a DAG and the course of its runs; ``catalog`` has the DAGs of benchmarks and
  contract tests.
- ``runs`` and ``store`` hold the runs; ``scheduler`` advances the runs; ``backfills`` creates a run
  for each day of a range.
- ``events`` makes messages, and ``publisher`` sends them.
- ``faults`` decides at random which requests and events have faults, for example errors, losses and
  delays. The same seed gives the same faults.
- ``requests`` has the type of a request, and makes the pages of lists. ``airflow`` puts the parts
  together.
- ``run_routes``, ``task_routes``, ``dag_routes`` and ``backfill_routes`` are the REST API;
  ``control_routes`` control the simulation; ``server`` serves all of them.
"""
