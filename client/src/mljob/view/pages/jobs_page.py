"""One page of the list of MLJobs, newest first, and the number of MLJobs in each phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .job_filter import PAGE, PHASES, JobFilter
from .marks import Mark, phase_mark
from .summary import JobSummary


@dataclass(frozen=True, slots=True)
class PhaseCount:
    """The number of MLJobs in one phase, among the MLJobs that match the filter. If the filter
    selects a phase, this condition of the filter is ignored.

    ``query`` is the URL query of a link that selects this phase. If this phase is selected already,
    the link removes the phase from the filter.
    """

    mark: Mark
    count: int
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class JobsPage:
    """The content of a page of the list.

    Attributes:
        phases: The count of each phase. A phase whose count is 0 is left out, unless the
            filter selects this phase.
        total: How many MLJobs there are in the chosen namespace, or in all namespaces.
        matching: How many MLJobs match the filter.
        first: The number of the page's first row, counted from 1 over all pages. 0 if the page has
            no rows.
        last: The number of the page's last row, counted over all pages. 0 if the page has no rows.
        newer: The URL query of the previous page, with newer MLJobs, or None on the first page.
        older: The URL query of the next page, with older MLJobs, or None on the last page.
    """

    filter: JobFilter
    rows: tuple[JobSummary, ...]
    phases: tuple[PhaseCount, ...]
    total: int
    matching: int
    first: int
    last: int
    newer: str | None
    older: str | None


def jobs_page(jobs: Sequence[JobSummary], chosen: JobFilter) -> JobsPage:
    """Return the content of one page of the list of MLJobs.

    Args:
        jobs: All MLJobs of the chosen namespace, or of all namespaces, newest first.
        chosen: The filter. A page number after the last page means the last page.
    """
    of_all_phases = chosen.without_phase(jobs)
    counts = Counter(job.phase for job in of_all_phases)
    matching = [job for job in of_all_phases if job.phase == chosen.phase] if chosen.phase else of_all_phases
    page = min(chosen.page, max(1, -(-len(matching) // PAGE)))
    rows = tuple(matching[(page - 1) * PAGE : page * PAGE])
    first = (page - 1) * PAGE + 1 if rows else 0
    return JobsPage(
        filter=chosen,
        rows=rows,
        phases=tuple(
            PhaseCount(
                phase_mark(phase),
                counts[phase],
                chosen.query(phase="" if phase == chosen.phase else phase),
                phase == chosen.phase,
            )
            for phase in PHASES
            if counts[phase] or phase == chosen.phase
        ),
        total=len(jobs),
        matching=len(matching),
        first=first,
        last=first + len(rows) - 1 if rows else 0,
        newer=chosen.query(page=page - 1) if page > 1 else None,
        older=chosen.query(page=page + 1) if page * PAGE < len(matching) else None,
    )
