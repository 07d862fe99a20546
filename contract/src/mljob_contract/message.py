"""The base class of all messages that the Airflow provider sends over Kafka.

Sender and reader are upgraded at different times, so a reader ignores fields that it does not know.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A message, or a part of a message. Unknown fields are ignored, because a newer sender may add
    fields.

    Pydantic does not read the docstrings of the fields, because each process of a task builds these
    models. With Airflow loaded, reading the docstrings would cost 0.15 s of CPU time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
