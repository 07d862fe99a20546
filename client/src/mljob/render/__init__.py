"""Describes MLJobs in words, for the command line, notebooks and the view. All functions are
pure. The results are:

- the icon and the word of a state
- durations and times
- metrics, outputs and progress bars
- the tasks of a run, one line each
- the rows of a list of MLJobs
- sentences that explain a state

Each text in a result is plain text on one line. :mod:`mljob.text` has cleaned the texts that users,
tasks or Airflow wrote. The caller escapes the texts for its medium, for example for HTML.
"""
