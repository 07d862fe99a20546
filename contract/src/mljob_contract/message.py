"""The base of all messages that the Airflow provider sends over Kafka.

Sender and reader are upgraded at different times, so a reader ignores fields that it does not know.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A message, or a part of one. Unknown fields are ignored, since a newer sender may add
    fields.

    Pydantic does not read the docstrings of the fields: every task process makes these models, and
    with Airflow loaded that would cost 0.15 s of CPU.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
