"""The pages with their sources: each reads the sources of its page, and makes the page again when a
source has changed.
"""
