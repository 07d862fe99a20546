"""The pages with their sources: each reads what its page shows, and makes the page again when
something has changed.
"""
