"""The rules for which operator process does the work, if a cluster has several processes and
several operators.

- :mod:`.claims`: what an operator manages, and whether two operators may run side by side.
- :mod:`.lease`: the state of a Lease, and how long the process that holds the Lease may work.
"""
