"""The operator's own components in a world of virtual time: a cluster, an Airflow with a scheduler,
a topic, and a network between them that loses, delays and duplicates messages. The operator can be
killed between any two side effects.

Everything is deterministic. Therefore Hypothesis can search for a sequence of steps after which the
operator breaks a promise, and reduce the sequence to the steps that matter (:mod:`.machine`).
"""
