"""Airflow 3's REST API (``/api/v2``) through apache-airflow-client.

- :mod:`.client`: one Airflow as the operator sees it; :mod:`.dag_runs`: its operations, each in the lane of its kind of work.
- :mod:`.lanes`: threads for each kind of work, and who is asked when an Airflow gives no answer.
- :mod:`.runs`: dag runs and their task instances; :mod:`.refusals`: why a DAG was not triggered.
- :mod:`.outputs`: what tasks left in XComs.
- :mod:`.cancellation`: how runs are ended.
- :mod:`.changes`: what has changed, in all runs of ours.
- :mod:`.backfills`: backfills, and the runs that are theirs.
- :mod:`.session`: what is true of every request; :mod:`.versions`: what differs between versions.
- :mod:`.answers`: what counts as an answer; :mod:`.absence`: how Airflow says that something is not there; :mod:`.rows`: fields of answers.

Answers are read as JSON rather than into the client's models: the models refuse states that a later Airflow adds, and cost more than the request
on a page of a hundred task instances.
"""
