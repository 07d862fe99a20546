"""Decides which operator manages an MLJob, and which process of this operator is active.

- :mod:`.claims`: what an operator manages, and whether two operators may run side by side.
- :mod:`.lease`: the state of a Lease, and how long the process that holds the Lease may work.
"""
