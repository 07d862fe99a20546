"""The addresses of the view, one module for each page."""
