"""The kind MLJob: its names in the Kubernetes API."""

from __future__ import annotations

from ..resource import GROUP

KIND = "MLJob"
PLURAL = "mljobs"
FINALIZER = f"{GROUP}/cancellation"
"""The operator's finalizer on an MLJob. The operator removes it when no run is left to cancel, and
the tasks and outputs of the ended run are in the status."""

UNOBSERVED = {"observedGeneration": -1}
"""The status that the API server gives a new MLJob until an operator writes a status. If a new
object had no status, kstatus and the tools that use kstatus, such as Flux, would report the object
as finished. Flux's own resources have the same default.
"""
