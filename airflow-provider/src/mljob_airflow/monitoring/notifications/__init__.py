"""Notifies the owners of findings in Slack.

- :mod:`.state` remembers the findings that each owner was notified of, and decides which
  notifications to send.
- :mod:`.notifier` sends the notifications.
- :mod:`.owners` finds the Slack address of an owner.
- :mod:`.messages` writes a message.
- :mod:`.slack` posts a message.
"""
