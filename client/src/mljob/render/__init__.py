"""Describes MLJobs in words, for the command line, notebooks and the view: signs of states,
durations, folded tasks, rows of a list, and sentences with the reasons. All functions are pure.
Each text in a result is plain text on one line. Texts that users, tasks or Airflow wrote have
passed :mod:`mljob.text`. The caller escapes the text for its medium, for example for HTML.
"""
