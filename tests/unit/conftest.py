import gc
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from mljob_operator import logs
from mljob_operator.core.conf.redaction import NOTHING_HIDDEN

# No test depends on the speed of the machine, so an example of Hypothesis has no time limit.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    # While a test reads very deep JSON, Hypothesis's callback could exceed the recursion limit.
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    try:
        return (yield)
    finally:
        gc.callbacks[:0] = callbacks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    # Otherwise the token of an earlier test is redacted in the log messages of a later test.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_credentials", {})
        patch.setattr(logs, "_of_the_operator", NOTHING_HIDDEN)
        return (yield)
