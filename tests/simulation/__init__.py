"""The operator's own parts in a world of virtual time: a cluster, an Airflow with a scheduler, a topic, and a network between them that
loses, delays and doubles, with an operator that can be killed between any two side effects.

Everything is deterministic, so that Hypothesis can search it and shrink what it finds (:mod:`.machine`).
"""
