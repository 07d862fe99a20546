"""A simulated Airflow: one process that serves Airflow's REST API, runs DAGs without executing any
code, and publishes events to a Kafka topic.

Benchmarks and load tests use the simulated Airflow, because a real Airflow would need more of the
machine than the program under test. A run of five tasks takes about a millisecond of CPU. Tests in
``tests/contract`` check that the simulated and a real Airflow behave alike.

- ``dags`` defines a DAG and the course of its runs; ``catalog`` has the DAGs of benchmarks and
  contract tests.
- ``runs`` and ``store`` store the runs; ``scheduler`` advances the runs; ``backfills`` creates a
  run for each day of a range.
- ``events`` makes Kafka messages, and ``publisher`` sends these messages.
- ``faults`` chooses at random which requests fail or take long, and which Kafka messages are lost,
  late or sent twice.
- ``requests`` has the type of an HTTP request, and divides lists into pages. ``airflow`` puts the
  parts together.
- ``run_routes``, ``task_routes``, ``dag_routes`` and ``backfill_routes`` are the REST API;
  ``control_routes`` control the simulation; ``server`` serves all of them.
"""
