"""What the code of a running task calls.

:mod:`.progress` reports progress and metrics, :mod:`.outputs` publishes the results of a run,
:mod:`.failing` ends a task without a retry, and :mod:`.waiting` is for sensors that wait for a
file. A value that can't be sent is left out with a warning: :mod:`.omissions` writes it.
"""
