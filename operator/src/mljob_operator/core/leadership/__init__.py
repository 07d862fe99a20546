"""Which operator process acts: Leases, and the claims of operators that share a cluster.

- :mod:`.claims` says what an operator manages, and whether two operators manage the same.
- :mod:`.lease` has a version of a Lease, and tells how long its holder may go on.
"""
