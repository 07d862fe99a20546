"""Reports as web pages.

:mod:`.page` writes a report as one HTML file, with the charts of :mod:`.plots`; :mod:`.files` keeps
these files in a folder.
"""
