"""Sends Slack messages about the findings of the monitoring DAGs. Each message is for one owner of
DAGs, or for the people who run the platform.

- :mod:`.state` remembers the findings that each owner was notified of, and decides which
  notifications to send.
- :mod:`.notifier` sends the notifications.
- :mod:`.owners` finds the Slack address of an owner.
- :mod:`.messages` writes a message.
- :mod:`.slack` posts a message.
"""
