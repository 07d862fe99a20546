"""The operator's own components in a world of virtual time: a cluster, an Airflow with a scheduler,
a topic, and a network between them that loses, delays and duplicates messages. The operator can be
killed between any two side effects.

Everything is deterministic, so that Hypothesis can search the world and shrink the failures that it
finds (:mod:`.machine`).
"""
