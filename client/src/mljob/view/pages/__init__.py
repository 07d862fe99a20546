"""Pure functions that make the content of each page from Kubernetes objects. No module of this
package does I/O or reads a clock. Templates turn the content into HTML.
"""
