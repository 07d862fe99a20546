"""MLJobs in words, which command line, notebooks and view share: signs of states, durations, folded
tasks, rows of a list, and the sentences that say why. All functions are pure and return plain text
on one line. Text from outside has passed :mod:`mljob.text`. The caller escapes it for its medium.
"""
