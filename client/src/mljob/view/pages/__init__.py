"""The content of each page, made of Kubernetes objects by pure functions: no module here does I/O
or reads a clock. Templates turn the content into HTML.
"""
