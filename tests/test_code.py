"""Which code decides what: the files that a module imports, and no others."""

import pytest

from components.code import code_of, imported
from components.training.checkpoints import fingerprint


def test_imports_of_functions_count_those_for_type_checkers_do_not(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "import components.model\n"
        "if TYPE_CHECKING:\n"
        "    import components.report\n"
        "else:\n"
        "    import flows.train\n"
        "def late():\n"
        "    from components.data import tables\n"
    )
    expected = {"components.model", "components.data", "components.data.tables", "flows.train"}
    assert imported(file) == expected


def test_what_is_imported_by_what_is_imported_counts():
    found = code_of(["components.registry.serving"], harmless=())
    assert {"components/__init__.py", "components/data/pictures.py", "components/errors.py"} <= set(found)
    assert not any(name.startswith(("components/tracking", "components/data/sources")) for name in found)
    assert "components/errors.py" not in code_of(["components.registry.serving"])


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("components/variants.py", True),
        ("components/training/sampler.py", True),
        ("components/data/tables.py", True),
        ("components/model/captioner.py", True),
        ("components/model/summary.py", False),
        ("components/report/charts.py", False),
        ("components/errors.py", False),
    ],
)
def test_a_resume_wants_the_code_that_trains_unchanged(file, counts, changeable):
    before = fingerprint(seed=0)
    path = changeable / file
    path.write_text(path.read_text() + "# changed\n")
    assert (fingerprint(seed=0) != before) == counts
