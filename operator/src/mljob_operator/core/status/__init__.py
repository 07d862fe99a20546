"""The status of an MLJob, which follows from its state.

- :mod:`.build`: the whole status; :mod:`.conditions`: its conditions.
- :mod:`.messages`: phase, reason and message, by stage; :mod:`.workload`: what differs between a
  single run (:mod:`.single_run`) and a backfill (:mod:`.backfill`).
- :mod:`.tasks`: tasks within the bounds of a status.
- :mod:`.disclosure`: the state without texts from Secrets.
- :mod:`.news`: which changes deserve a patch of their own; :mod:`.patches`: the difference of two
  statuses as a JSON merge patch.
- :mod:`.events`: the Kubernetes Events that a change of status deserves.
"""
