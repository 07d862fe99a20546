"""Sends messages about findings to the owners of the findings, in Slack.

- :mod:`.state` remembers which findings each owner was notified of, and decides which notifications
  to send after a new report.
- :mod:`.notifier` sends these notifications.
- :mod:`.owners` finds the Slack address of an owner.
- :mod:`.messages` writes a message.
- :mod:`.slack` posts a message.
"""
