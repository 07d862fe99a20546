"""A simulated Airflow: one process that serves Airflow's REST API, runs DAGs without executing any
code, and publishes the events of both producers to a Kafka topic.

Benchmarks, tests with generated objects and load tests use it, where a real Airflow would need more
of the machine than the program under test. A run of five tasks takes about a millisecond of CPU.
``tests/contract`` compares its REST API with a real Airflow's: the same suite runs against both.

- ``dags`` defines a DAG and the course of its runs; ``catalog`` has the DAGs of benchmarks and
  contract tests.
- ``runs`` and ``store`` hold the runs; ``scheduler`` advances them; ``backfills`` creates many.
- ``events`` makes messages, and ``publisher`` sends them.
- ``faults`` draws the faults, deterministically by a seed.
- ``run_routes``, ``task_routes``, ``dag_routes`` and ``backfill_routes`` are the REST API;
  ``control_routes`` control the simulation; ``server`` serves all of them.
"""
