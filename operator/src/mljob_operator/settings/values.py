"""The types of settings whose values have a syntax of their own, such as URLs and comma-separated
lists.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, TypeAdapter, ValidationError

from mljob_contract.airflow_instance import LabelSelector

from ..core.airflow_instance.credentials import fits_header
from ..core.text.storable import cut

_SPACE = re.compile(r"\s")
_API = re.compile(r"/api(/v\d+)?/?$")
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}")
_LABEL_VALUE = re.compile(rf"({_LABEL_NAME})?")
_BROKER = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.%]+\]|[^\s:,/\[\]]+)(:\d{1,5})?")


def _url(text: str) -> str:
    if "@" in text:
        raise ValueError("must not hold credentials: URLs appear in logs and statuses")
    if (why := _url_problem(text)) is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}. An example is https://airflow.example.com:8080")
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    why = None
    if parts.query or parts.fragment:
        why = "has a query or a fragment: leave out everything from ? or # on"
    elif (found := _API.search(parts.path)) is not None:
        why = f"ends in {found[0]}: leave that out, the operator adds it"
    if why is not None:
        raise ValueError(f"{cut(text, 200)!r} {why}")
    return text


def _url_problem(text: str) -> str | None:
    if _SPACE.search(text):
        return "holds white space"
    if not text.startswith(("http://", "https://")):
        return "begins with neither http:// nor https://"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "holds an invalid IP address in brackets"
    try:
        if parts.port == 0:
            return "has the port 0"
    except ValueError:
        return "has a port that is not a number from 1 to 65535"
    if not parts.hostname:
        return "names no host"
    return None


def _brokers(text: str) -> str:
    brokers = [part.strip() for part in text.split(",")]
    for broker in filter(None, brokers):
        if not _BROKER.fullmatch(broker):
            raise ValueError(f"{broker!r} is not a broker's host:port")
    if not any(brokers):
        raise ValueError("names no broker")
    return text


def _token(token: SecretStr) -> SecretStr:
    if not fits_header(token.get_secret_value()):
        raise ValueError("holds characters that can't be in an HTTP header, such as a line break within it")
    return token


def _label_syntax(selector: LabelSelector) -> LabelSelector:
    expressions = selector.match_expressions
    for key in (*selector.match_labels, *(expression.key for expression in expressions)):
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(f"{cut(key, 200)!r} is not the key of a label. An example is example.com/team")
    for value in (*selector.match_labels.values(), *(value for each in expressions for value in each.values)):
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(
                f"{value!r} is not the value of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
            )
    return selector


def _between_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def json_of(wanted: Any) -> BeforeValidator:
    """Return a validator that reads a value of type ``wanted`` from JSON. JSON with an unknown
    field is refused. For example, a label selector with a misspelt field would otherwise select
    more objects than intended.
    """
    adapter = TypeAdapter(wanted)

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return adapter.validate_json(value, extra="forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            raise ValueError(_all_problems(error)) from error

    return BeforeValidator(read)


def _all_problems(error: ValidationError) -> str:
    found = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return "; ".join(f"{where}: {what}" if where else what for where, what in found)


Url = Annotated[str, AfterValidator(_url)]
BaseUrl = Annotated[Url, AfterValidator(_base_url)]
Brokers = Annotated[str, AfterValidator(_brokers)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Selector = Annotated[LabelSelector, AfterValidator(_label_syntax)]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
COMMA_SEPARATED = BeforeValidator(_between_commas)
"""A validator that reads a tuple from comma-separated texts."""
