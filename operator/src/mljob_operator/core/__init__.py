"""What the status should be and what to do next: functions of their arguments, without I/O, clock or logging.

What there is:

- :mod:`.job`: an MLJob as the core sees it; :mod:`.identity`: its dag run id; :mod:`.attempts`: its attempts, each a dag run, or one again.
- :mod:`.conf`: the conf of a run, from ConfigMaps, Secrets and the spec.
- :mod:`.instance`: an AirflowInstance; :mod:`.access`: who may run what in it; :mod:`.placement`: where a run goes; :mod:`.admission`: who is next.

What is known:

- :mod:`.wire`: Kafka messages of either producer, read into facts.
- :mod:`.facts`: what an event or an answer of Airflow's says, in one internal form; :mod:`.phases`: Airflow's states, ranked.
- :mod:`.ledger`: all that is known of one run; the fold.
- :mod:`.backfill`: a range of a schedule's runs as one thing.
- :mod:`.offsets`: which Kafka offsets are safe to commit.

What to do:

- :mod:`.effort`: what was tried; :mod:`.situation`: all that a decision depends on, and a status too.
- :mod:`.decisions`: what to do next for one MLJob.
- :mod:`.task_order`: in which order a run's tasks are set failed.

What to say:

- :mod:`.redaction`: texts from Secrets, found in every spelling; :mod:`.disclosure`: what of a situation may be told.
- :mod:`.report`: the whole status; :mod:`.backfill_report`: what is different in a backfill's; :mod:`.instance_report`: an AirflowInstance's.
- :mod:`.story`: phase and reason, for people; :mod:`.conditions`: conditions and their transitions.
- :mod:`.progress`, :mod:`.outputs`, :mod:`.storable`: the ledger and the outputs within the bounds of a status, and of what can be stored.
- :mod:`.news`: what is worth a patch of its own; :mod:`.patches`: the difference of two statuses as a JSON merge patch.
- :mod:`.notices`: the Kubernetes Events that a change of status is worth.
"""
