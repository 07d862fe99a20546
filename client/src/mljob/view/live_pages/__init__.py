"""The live pages, one in each module. A class has the sources that its page reads, and makes the
page's HTML from them. :mod:`mljob.view.live` asks for the HTML again when a source has changed.
"""
