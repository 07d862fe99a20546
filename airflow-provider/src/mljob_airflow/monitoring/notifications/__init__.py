"""Notifying the owners of findings in Slack.

:mod:`.state` is what each owner was notified of before; with a new report it yields the
notifications that are due. :mod:`.notifier` sends these: :mod:`.owners` finds each owner's Slack
address, :mod:`.messages` writes the message, and :mod:`.slack` posts it.
"""
