"""Which operator process acts: Leases, and the claims of operators that share a cluster.

- :mod:`.claims`: what an operator manages, and whether two operators may run side by side.
- :mod:`.lease`: a version of a Lease, and how long its holder may act.
"""
