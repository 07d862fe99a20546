"""Pure functions that make the content of each page from Kubernetes objects. Templates turn the
content into HTML.
"""
