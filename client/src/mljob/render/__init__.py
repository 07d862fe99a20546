"""Describes MLJobs in words, for the command line, notebooks and the view. All functions are pure.

Each text in a result is plain text on one line, without unsafe characters. The caller escapes the
texts for its medium, for example for HTML.
"""
