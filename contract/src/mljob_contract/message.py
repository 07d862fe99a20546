"""The base of all messages that the Airflow provider sends over Kafka.

Sender and reader are upgraded at different times, so a reader ignores fields that it does not know.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A message, or a part of one. Unknown fields are ignored, since a newer sender may add
    fields.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)
