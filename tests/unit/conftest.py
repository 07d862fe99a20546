"""Unit tests have no deadline per example: the machines are noisy, and time is measured in benchmarks."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Run each test without callbacks in the garbage collector.

    Hypothesis leaves one there. While JSON that is nested without end is read, that callback finds
    no stack left, and pytest reports its RecursionError as an error of the test.
    """
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    try:
        return (yield)
    finally:
        gc.callbacks[:0] = callbacks
