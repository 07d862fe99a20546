"""The rules that decide which operator manages an MLJob, and which process of this operator is
active. A cluster may have several operators, and an operator may have several processes.

- :mod:`.claims`: what an operator manages, and whether two operators may run side by side.
- :mod:`.lease`: the state of a Lease, and how long the process that holds the Lease may work.
"""
