"""Sends Slack messages about the findings of the monitoring DAGs. Each message is for the owners of
DAGs who have the same Slack address, or for the people who run the platform.

- :mod:`.state` remembers the findings that were sent to each Slack address, and decides which
  notifications to send.
- :mod:`.notifier` sends the notifications.
- :mod:`.owners` parses the Slack addresses of owners.
- :mod:`.routing` decides to which addresses a finding goes.
- :mod:`.messages` writes a message.
- :mod:`.slack` posts a message.
"""
