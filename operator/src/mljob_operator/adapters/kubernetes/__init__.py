"""Reads and writes objects in the Kubernetes API, through the asyncio part of the official client.

- :mod:`.client` makes clients of the API, :mod:`.requests` sends a request and maps its failure to
  an error of the operator, and :mod:`.lists` reads a list in pages.
- :mod:`.jobs` reads and writes MLJobs, and :mod:`.instances` reads and writes AirflowInstances.
  :mod:`.custom_objects` has their common part.
- :mod:`.leases` reads and writes the Lease by which the processes of an operator agree on a leader,
  and reads the Leases of other operators.
- :mod:`.source_watches` watches the ConfigMaps and Secrets that MLJobs wait for.
- :mod:`.kube_events` creates Kubernetes Events.
"""
