"""What the status should be and what to do next: functions of their arguments, without I/O, clock or logging.

Each package depends only on packages below it:

- :mod:`.orphans`: runs that no MLJob follows.
- :mod:`.status`: the status of an MLJob, made from its state; and that of an AirflowInstance.
- :mod:`.mljob`: an MLJob, its attempts, its state, and what to do next.
- :mod:`.airflow_instance`: an Airflow that MLJobs may use.
- :mod:`.run`: a run in Airflow, and what is known of it.
- :mod:`.conf`: the conf of a run, and what of it is secret.
- :mod:`.text`: text and JSON from outside within bounds, and sentences for people.
"""
