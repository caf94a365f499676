"""README.md and docs/, typed to the letter on a machine where HOME is empty.

`tests/doc_commands.py` lists what is not, with the reasons; `tests/unit/rules/test_docs.py` checks
that nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.flow.doc_session import SESSIONS, Typed, fresh_machines, to_type, type_pages

pytestmark = [
    pytest.mark.skipif(not fresh_machines(), reason="this user may not make namespaces (unshare)"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Typed]:
    return type_pages(tmp_path_factory.mktemp("machine"))


@pytest.mark.parametrize("page", SESSIONS)
def test_the_commands_of_a_page_work_as_they_stand(typed: Mapping[str, Typed], page: str) -> None:
    found = typed[page]
    assert found.code == 0, f"after {found.commands[-1:]}:\n{found.output}"
    assert found.commands == to_type(page)
