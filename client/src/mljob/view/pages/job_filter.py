"""The filter of the list of MLJobs. The whole filter is in the URL, so that a link shows the same
list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from mljob_contract.job_type import JobType
from mljob_contract.mljob import Phase

from .outside_text import clean
from .summary import JobSummary

PAGE: Final = 100
"""The maximum number of MLJobs on a page of the list. The first page stays below 100 KB."""
MAX_TERM: Final = 100
TYPES: Final = tuple(JobType)
PHASES: Final = tuple(Phase)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """A filter of the list of MLJobs.

    Attributes:
        namespace: One namespace, or an empty text for all.
        type: A job type, or an empty text for all.
        phase: A phase, or an empty text for all.
        label: A label selector as in kubectl, such as ``team=a,tier!=gold,owner``. Set operators
            such as ``in`` are not supported.
        text: Words separated by spaces. Each word must occur in the name, namespace, DAG, phase,
            reason or message. Upper and lower case are the same.
        page: The number of the page, from 1.
    """

    namespace: str = ""
    type: str = ""
    phase: str = ""
    label: str = ""
    text: str = ""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> JobFilter:
        """Return the filter from the query of a URL. An invalid type, phase or page counts as
        missing. Other values are cut to :data:`MAX_TERM` characters, and a namespace to 63
        characters.
        """

        def term(name: str) -> str:
            return clean(query.get(name, "")).strip()[:MAX_TERM]

        page = query.get("page", "")
        return cls(
            namespace=term("namespace")[:63],
            type=term("type") if term("type") in TYPES else "",
            phase=term("phase") if term("phase") in PHASES else "",
            label=term("label"),
            text=term("text"),
            page=int(page) if page.isascii() and page.isdecimal() and 0 < len(page) < 5 and int(page) else 1,
        )

    def query(self, **changes: Any) -> str:
        """Return the URL query of this filter. The query begins with a question mark, or is empty.

        Args:
            changes: The fields of the filter that have other values in the query. Without
                ``page``, the query is for the first page.
        """
        changed = replace(self, **{"page": 1, **changes})
        fields = {name: getattr(changed, name) for name in ("namespace", "type", "phase", "label", "text")}
        given = {name: value for name, value in fields.items() if value}
        if changed.page > 1:
            given["page"] = str(changed.page)
        return f"?{urlencode(given)}" if given else ""

    @property
    def is_empty(self) -> bool:
        """Whether the filter has no type, phase, label or text. The filter may have a namespace."""
        return not (self.type or self.phase or self.label or self.text)

    def without_phase(self, jobs: Iterable[JobSummary]) -> list[JobSummary]:
        """Return those of ``jobs`` that match the type, the labels and the text of the filter. The
        phase and the namespace of the filter have no effect.
        """
        labels = _requirements(self.label)
        words = self.text.lower().split()
        return [
            job
            for job in jobs
            if (not self.type or job.type == self.type)
            and (not labels or _has_labels(job, labels))
            and all(word in job.searched for word in words)
        ]


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    value: str | None
    is_negated: bool


def _requirements(selector: str) -> list[_Requirement]:
    found = []
    for part in filter(None, (piece.strip() for piece in selector.split(","))):
        negated = "!=" in part
        key, separator, value = part.partition("!=") if negated else part.replace("==", "=").partition("=")
        if not separator and key.startswith("!"):
            key, negated = key[1:], True
        found.append(_Requirement(key.strip(), value.strip() if separator else None, negated))
    return found


def _has_labels(job: JobSummary, requirements: list[_Requirement]) -> bool:
    labels = dict(job.labels)
    return all(
        (required.key in labels if required.value is None else labels.get(required.key) == required.value)
        != required.is_negated
        for required in requirements
    )
