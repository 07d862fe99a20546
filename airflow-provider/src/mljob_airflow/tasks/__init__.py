"""The functions that the code of a running task calls.

- :mod:`.progress` reports progress and metrics.
- :mod:`.outputs` publishes the results of a run.
- :mod:`.failing` fails a task without a retry.
- :mod:`.waiting` is for sensors that wait for a file.

:mod:`.omissions` and :mod:`.names` are used by the other modules.
"""
