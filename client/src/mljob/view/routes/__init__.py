"""The routes of the view, one module for each page."""
