"""The base class of all messages that the Airflow provider sends to Kafka: events, and reports of
monitoring DAGs.

The sender and the reader of a message are upgraded at different times, so a reader ignores fields
that it does not know.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A message, or a part of a message. A reader ignores unknown fields, because a newer sender
    may add fields.

    Pydantic is not configured to read the docstrings of the fields: every process that runs an
    Airflow task imports these models, and reading the docstrings would cost each process 0.15 s of
    CPU time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
