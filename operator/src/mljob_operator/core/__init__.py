"""The operator's decisions and statuses. The code of this package does no I/O, reads no clock and
logs nothing.

A package imports only packages below it in this list:

- :mod:`.orphans`: finds runs that no MLJob follows.
- :mod:`.status`: builds the status of an MLJob and of an AirflowInstance.
- :mod:`.mljob`: an MLJob, its attempts, its state, and what to do next.
- :mod:`.airflow_instance`: an Airflow that MLJobs may use.
- :mod:`.leadership`: which operator process acts. Neither this package nor :mod:`.airflow_instance`
  imports the other.
- :mod:`.run`: a run in Airflow, and what the operator knows of the run.
- :mod:`.conf`: the conf of a run, and which of its texts are secret.
- :mod:`.text`: limits for texts and JSON that users or other programs wrote, and parts of messages.
- :mod:`.labels`: label selectors. Neither this module nor :mod:`.text` imports the other.

Every package may import :mod:`.frozen`, the decorator for classes whose objects never change.
"""
