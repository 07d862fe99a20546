"""The pages that change while a browser shows them (live pages), such as the page of one MLJob.

A live page reads sources, which are data that background tasks keep up to date. Each live page is
an object that makes the page's HTML from its sources. When a source has changed,
:mod:`mljob.view.live` asks the object for the new HTML.
"""
