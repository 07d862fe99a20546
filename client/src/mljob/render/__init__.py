"""Describes MLJobs in words, for the command line, notebooks and the view. All functions are pure.

Each text in a result is plain text on one line, without control characters, escape sequences and
invisible characters. The caller must escape the texts, for example for HTML.
"""
