"""Monitoring: what needs somebody's hands in Airflow, told to those whose it is.

A monitor looks (:mod:`.rest_reader`), decides what is wrong (:mod:`.health`, :mod:`.failures`, :mod:`.outliers`, :mod:`.bottlenecks`), and what
of it is news for whom (:mod:`.mutes`, :mod:`.memory`, :mod:`.owners`). That is said in Slack (:mod:`.messages`, :mod:`.slack`, :mod:`.telling`), on a page (:mod:`.page`) and
on Kafka. What decides is pure and needs no Airflow; :mod:`.look` gathers for it, within bounds.

Tasks of Airflow 3 have no database: all of it is read through the REST API. Every list has a bound, and what a bound cut off is said in
the report: absence from a list that was cut is never taken for good news.
"""
