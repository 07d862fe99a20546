"""The names of the kind MLJob in the Kubernetes API, the finalizer and annotations of MLJobs, and
the status of a new MLJob.
"""

from __future__ import annotations

from ..resource import GROUP

KIND = "MLJob"
PLURAL = "mljobs"
FINALIZER = f"{GROUP}/cancellation"
"""The operator's finalizer on an MLJob. The operator removes the finalizer when no run is left to
cancel, and the tasks and outputs of the ended run are in the status.
"""

RETRY_REQUESTED_AT = f"{GROUP}/retry-requested-at"
"""The annotation that requests another attempt of an MLJob. The operator acts once on each new
value, such as the current time. The annotation ``reconcile.fluxcd.io/requestedAt`` of Flux works
the same way (fluxcd.io: "Trigger a reconcile").
"""
MAX_RETRY_REQUEST = 253
"""The operator reads and stores at most this number of characters of the value of the annotation
``RETRY_REQUESTED_AT``, and ignores the rest.
"""

FINISHED = f"{GROUP}/finished"
"""The annotation in which the operator records how an MLJob ended, as JSON. An MLJob that is
restored from a manifest has lost its status, and the annotation keeps the MLJob from running again.
The operator ignores an annotation that names the run of another MLJob. So a copy of the MLJob under
another name runs.
"""

UNOBSERVED = {"observedGeneration": -1}
"""The status that the Kubernetes API server gives a new MLJob until an operator writes a status. If
a new object had no status, kstatus and the tools that use kstatus, such as Flux, would report the
object as finished. Flux's own resources have the same default.
"""
