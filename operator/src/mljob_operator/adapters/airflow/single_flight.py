"""One of several threads that want the same does the work, and the others get what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Work that is done once at a time. Those who come while it is under way wait for it, and don't begin it again when it has failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """The result of ``work``, or of the work that is under way.

        Raises:
            Exception: What the work raised: to each of those who wait an exception of their own.
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
