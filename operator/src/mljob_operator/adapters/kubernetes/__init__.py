"""Reads and writes objects in the Kubernetes API, with the asyncio part of the official client."""
