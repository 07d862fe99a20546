"""A simulated Airflow: one process that serves Airflow's REST API, runs DAGs without executing any
code, and publishes the events of both producers to a Kafka topic.

Benchmarks, the walks over generated objects and load tests use it, where a real Airflow would need
more of the machine than what is measured. A run of five tasks takes about a millisecond of CPU.
``tests/contract`` holds its REST API to a real Airflow's: the same suite runs against both.

- ``dags`` says what a DAG is and how its runs go; ``catalog`` has the DAGs of benchmarks and
  contract tests.
- ``runs`` and ``store`` hold the runs; ``scheduler`` moves them on; ``backfills`` creates many.
- ``events`` makes messages, and ``publisher`` sends them.
- ``faults`` says what goes wrong, deterministically by a seed.
- ``run_routes``, ``task_routes``, ``dag_routes`` and ``backfill_routes`` are the REST API;
  ``control_routes`` are for whoever directs the simulation; ``server`` serves all of them.
"""
