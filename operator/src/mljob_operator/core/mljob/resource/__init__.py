"""The object of an MLJob in the Kubernetes API, read into typed fields.

- :mod:`.job`: the object.
- :mod:`.spec`: the spec of the object, and the hash of the spec.
- :mod:`.stored_status`: the status of the object.
- :mod:`.packing`: compresses the spec and the status, to save memory.
- :mod:`.finished`: the annotation that records how the MLJob ended.
- :mod:`.job_labels`: the properties by which metrics count MLJobs.
"""
