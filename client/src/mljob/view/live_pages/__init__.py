"""The pages that change while a browser shows them, such as the page of one MLJob.

A live page makes its HTML from sources, which are data that background tasks update. When a source
has changed, :mod:`mljob.view.live` asks the page for the new HTML.
"""
