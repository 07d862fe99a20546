"""The live pages, one in each module. A live page is an object of a class that knows the sources of
the page, and makes the page's HTML from them. :mod:`mljob.view.live` asks for the HTML again when a
source has changed.
"""
