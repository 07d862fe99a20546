"""Reads and writes objects in the Kubernetes API, through the asyncio part of the official client.

- :mod:`.client`: clients of the API; :mod:`.requests`: one request, and what its errors mean;
  :mod:`.lists`: lists, read in pages.
- :mod:`.custom_objects`: what the stores of MLJobs and AirflowInstances have in common;
  :mod:`.jobs` and :mod:`.instances`: these stores.
- :mod:`.source_watches`: watches of the ConfigMaps and Secrets that MLJobs wait for.
- :mod:`.kube_events`: Kubernetes Events.
"""
