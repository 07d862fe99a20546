"""The content of each page, as pure functions of Kubernetes objects. Templates turn the results
into HTML. Nothing here does I/O or reads a clock.
"""
