"""Describes MLJobs in words, for the command line, notebooks and the view: icons and words of
states, durations, tasks, rows of a list, and sentences with reasons. All functions are pure.

Each text in a result is plain text on one line. :mod:`mljob.text` has cleaned the texts that users,
tasks or Airflow wrote. The caller escapes the texts for its medium, for example for HTML.
"""
