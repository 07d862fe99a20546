"""The types and formats that the operator, the Airflow provider and the Python client share.

Airflow workers install this package, so pydantic is its only dependency.

- :mod:`mljob_contract.mljob`: the MLJob resource, from which the CRD is generated.
- :mod:`mljob_contract.airflow_instance`: the AirflowInstance resource, from which its CRD is
  generated.
- :mod:`mljob_contract.resource`: the base class of the models of both resources, and the common
  types of their fields.
- :mod:`mljob_contract.job_type`: the kinds of ML work. DAG files import this module.
- :mod:`mljob_contract.run_id`: the id of an MLJob's dag run, and how to parse it.
- :mod:`mljob_contract.backfill_marker`: the conf key that links a backfill's runs to an MLJob.
- :mod:`mljob_contract.events`: the messages on the Kafka topic of events.
- :mod:`mljob_contract.run_api`: the API group of an MLJob's run, ``run.mljob.dev``.
- :mod:`mljob_contract.history`: the response of ``run.mljob.dev`` with the events of a run.
- :mod:`mljob_contract.graph`: the response of ``run.mljob.dev`` with the tasks of a run and the
  edges between these tasks.
- :mod:`mljob_contract.param_schema`: a keyword in the JSON Schemas of a DAG's params. The keyword
  tells the operator to refuse a conf with keys that are not params of the DAG.
- :mod:`mljob_contract.reports`: the reports in which the monitoring DAGs list problems in Airflow.
- :mod:`mljob_contract.message`: the base class of the Kafka messages, which are events and reports.
- :mod:`mljob_contract.airflow_id`: the ids that Airflow allows for DAGs and tasks.
- :mod:`mljob_contract.airflow_versions`: the supported versions of Airflow.
- :mod:`mljob_contract.task_ranks`: the order of a DAG's tasks.
- :mod:`mljob_contract.times`: the times that resources may contain.
"""
