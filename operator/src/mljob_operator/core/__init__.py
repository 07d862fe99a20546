"""The operator's decisions and statuses: functions of their arguments, without I/O, clock or
logging.

Each package depends only on packages below it:

- :mod:`.orphans`: runs that no MLJob follows.
- :mod:`.status`: the status of an MLJob, which follows from its state, and the status of an
  AirflowInstance.
- :mod:`.mljob`: an MLJob, its attempts, its state, and what to do next.
- :mod:`.airflow_instance`: an Airflow that MLJobs may use.
- :mod:`.run`: a run in Airflow, and what is known of it.
- :mod:`.conf`: the conf of a run, and which of its texts are secret.
- :mod:`.text`: bounds for text and JSON from outside, and parts of messages.
"""
