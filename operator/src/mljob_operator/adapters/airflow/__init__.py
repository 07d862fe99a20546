"""Airflow 3's REST API (``/api/v2``) through apache-airflow-client.

- :mod:`.client`: one Airflow as the operator sees it; each operation runs beside the event loop, and is timed.
- :mod:`.runs`: dag runs and their task instances; :mod:`.refusals`: why a DAG was not triggered.
- :mod:`.outputs`: what tasks left in XComs.
- :mod:`.cancellation`: how runs are ended.
- :mod:`.changes`: what has changed, in all runs of ours.
- :mod:`.backfills`: backfills, and the runs that are theirs.
- :mod:`.session`: what is true of every request; :mod:`.rows`: rows of answers, read into facts; :mod:`.versions`: what differs between versions.

Answers are read as JSON rather than into the client's models: the models refuse states that a later Airflow adds, and cost more than the request
on a page of a hundred task instances.
"""
