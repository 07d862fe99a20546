"""Sends messages about findings to the owners of the findings, in Slack.

- :mod:`.state` remembers which findings each owner was notified of, and decides which notifications
  are due after a new report.
- :mod:`.notifier` sends the due notifications.
- :mod:`.owners` finds the Slack address of an owner.
- :mod:`.messages` writes a message.
- :mod:`.slack` posts a message.
"""
