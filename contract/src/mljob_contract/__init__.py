"""What the operator and the Airflow side agree on: types, and nothing else.

Airflow workers install this package; it must never need more than pydantic.

- :mod:`mljob_contract.mljob`: the MLJob resource, source of the CRD.
- :mod:`mljob_contract.run_id`: the dag run id, written and read back.
- :mod:`mljob_contract.events`: the event envelope on the Kafka topic.
- :mod:`mljob_contract.reports`: what the monitoring DAGs find.
- :mod:`mljob_contract.airflow_versions`: the versions of Airflow that both work with.
"""
