"""The functions that the code of a running task calls.

- :mod:`.progress` reports progress and metrics.
- :mod:`.outputs` publishes the results of a run.
- :mod:`.failing` fails a task without a retry.
- :mod:`.waiting` is for sensors that wait for a file.

Values that can't be sent are left out, and :mod:`.omissions` logs a warning. :mod:`.names` changes
names of metrics and outputs so that the names fit into the status of an MLJob.
"""
