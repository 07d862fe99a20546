"""The pages that change while a browser shows them (live pages), such as the page of one MLJob.

A live page reads sources: data that background tasks keep up to date. The object of a live page
knows its sources, and makes the page's HTML from them. When a source has changed,
:mod:`mljob.view.live` asks the object for the HTML again.
"""
