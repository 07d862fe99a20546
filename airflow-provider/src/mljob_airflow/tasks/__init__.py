"""The functions that the code of a running task calls.

- :mod:`.progress` reports progress and metrics.
- :mod:`.outputs` publishes the results of a run.
- :mod:`.failing` fails a task without a retry.
- :mod:`.waiting` is for sensors that wait for a file.

The modules :mod:`.progress` and :mod:`.outputs` use :mod:`.omissions` and :mod:`.names`.
"""
