"""Writes reports as web pages.

- :mod:`.page` makes the HTML of a report.
- :mod:`.plots` makes the charts of a page.
- :mod:`.files` writes the pages to a folder.
"""
