"""Trained and exported once a session: every recipe of the registry, tiny.

What a fixture needs it imports itself: the tests of a layer need no recipe.
"""

import pytest


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """kind -> {"train": file, "validation": file}, written when first asked for."""
    from tests.models.kinds import KINDS

    written = {}

    def of(kind: str) -> dict[str, str]:
        if kind not in written:
            written[kind] = KINDS[kind].write(tmp_path_factory.mktemp(kind))
        return written[kind]

    return of


@pytest.fixture(scope="session")
def trained(records, tmp_path_factory):
    """name -> `tests.models.trained.Trained`."""
    from tests.models.trained import Recipes

    return Recipes(records, tmp_path_factory)
