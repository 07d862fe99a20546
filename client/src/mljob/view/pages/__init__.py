"""Functions that make the content of the view's pages, for example from Kubernetes objects and
logs. Templates turn the content into HTML.
"""
