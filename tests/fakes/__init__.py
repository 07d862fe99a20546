"""The world in memory, for unit tests: small, and held to the same suite as the real thing (``tests/contract``).

Faults are made here that the real parts can't be made to show on demand: an answer that is lost after the request took effect, a
write that somebody else overtakes.
"""
