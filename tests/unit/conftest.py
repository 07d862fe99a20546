"""Settings of unit tests. An example of Hypothesis has no time limit, because no test may depend on
the speed of the machine. Only benchmarks measure time.
"""

import gc
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from mljob_operator import logs
from mljob_operator.core.conf.redaction import NOTHING_HIDDEN

settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Remove the callbacks of Python's garbage collector while a test runs.

    Hypothesis registers such a callback. While a test reads very deeply nested JSON, the callback
    may exceed the recursion limit. pytest would report the callback's RecursionError as an error of
    the test.
    """
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    try:
        return (yield)
    finally:
        gc.callbacks[:0] = callbacks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Begin each test with an empty set of the credentials that :mod:`mljob_operator.logs` redacts.
    Otherwise the token ``t`` of an earlier test would cause each ``t`` in the log messages of a
    later test to be redacted.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_credentials", {})
        patch.setattr(logs, "_of_the_operator", NOTHING_HIDDEN)
        return (yield)
