"""What the status should be and what to do next: functions of their arguments, without I/O, clock or logging.

- :mod:`.identity`: the dag run id of an MLJob.
- :mod:`.job`: an MLJob as the core sees it.
- :mod:`.phases`: Airflow's states, ranked, and the phase that follows from them.
- :mod:`.facts`: what an event or an answer of Airflow's says, in one internal form.
- :mod:`.backfill`: a range of a schedule's runs as one thing.
- :mod:`.wire`: Kafka messages of either producer, read into facts.
- :mod:`.ledger`: all that is known of one run; the fold.
- :mod:`.progress`: the ledger as the status shows it, within bounds.
- :mod:`.decisions`: what to do next for one MLJob.
- :mod:`.conditions`: conditions and their transitions.
- :mod:`.report`: the whole status; :mod:`.backfill_report`: what is different in a backfill's.
- :mod:`.story`: phase and reason, for people.
- :mod:`.notices`: the Kubernetes Events that a change of status is worth.
- :mod:`.patches`: the difference of two statuses as a JSON merge patch.
- :mod:`.offsets`: which Kafka offsets are safe to commit.
"""
