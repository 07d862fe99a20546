"""The classes of the pages that change while a browser shows them (live pages), such as the page of
one MLJob. An object of such a class lists the sources of one page, which are data that background
tasks keep up to date, and makes the page's HTML from the sources. When a source has changed,
:mod:`mljob.view.live` asks the object for the HTML again.
"""
