"""Unit tests have no deadline per example: the machines are noisy, and time is measured in benchmarks."""

from hypothesis import settings

settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")
