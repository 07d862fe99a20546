from __future__ import annotations

import pytest

from mljob_contract.airflow_versions import NEWEST, OLDEST, SUPPORTED, Version, version_number


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("3.1.0", (3, 1), id="a release"),
        pytest.param("3.2.0rc1", (3, 2), id="a release candidate"),
        pytest.param("3.10.2", (3, 10), id="two digits"),
        pytest.param("3.3", (3, 3), id="without a patch number"),
        pytest.param("3.1+astro.2", (3, 1), id="a vendor's build"),
        pytest.param("", None, id="empty"),
        pytest.param("3", None, id="a major version alone"),
        pytest.param("main", None, id="a branch"),
        pytest.param("v3.1.0", None, id="a tag"),
    ],
)
def test_a_version_is_its_first_two_numbers(text: str, version: Version | None) -> None:
    assert version_number(text) == version


def test_versions_are_compared_as_numbers() -> None:
    found = [version_number(text) for text in ("3.10.0", "3.9.1", "2.11.0")]
    assert sorted(version for version in found if version is not None) == [(2, 11), (3, 9), (3, 10)]


def test_the_text_for_people_names_the_oldest_and_the_newest_version() -> None:
    first, last = SUPPORTED.removeprefix("Airflow ").split(" to ")
    assert (version_number(first), version_number(last)) == (OLDEST, NEWEST)
