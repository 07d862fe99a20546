"""Lets threads share the result of a function call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the result of a function call between threads that need the result at the same
    time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """Call ``work`` and return its result. If a call of another thread is running in this
        SingleFlight, don't call ``work``, but wait for that call and return its result.

        Raises:
            Exception: The exception of the called function. Each waiting thread raises a copy of
                the exception.
        """
        with self._lock:
            flight, begins = self._under_way, self._under_way is None
            if flight is None:
                flight = self._under_way = Future()
        if not begins:
            if (error := flight.exception()) is not None:
                raise copy(error) from None
            return flight.result()
        try:
            result = work()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                self._under_way = None
