"""Every Python example in the README and the gallery runs, and prints what it says it prints.

Those of `migrating.md` do so in `test_migrating.py`, section by section.
"""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("*.md"))]
SESSIONS = [page for page in PAGES if page.name != "migrating.md"]


def python_blocks(page: Path) -> str:
    """The ```python blocks of a page, one after the other, as one session."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))


class RoundingErrorsAside(doctest.OutputChecker):
    """Small figures such as 3.4e-16 are rounding errors: any other one will do in their place."""

    def check_output(self, want, got, flags):
        want, got = (re.sub(r"\d\.\de[-+]\d\d", "#", text) for text in (want, got))
        return super().check_output(want, got, flags)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_a_page_run(page):
    session = doctest.DocTestParser().get_doctest(python_blocks(page), {}, page.name, None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    output: list[str] = []
    runner = doctest.DocTestRunner(RoundingErrorsAside(), optionflags=flags)
    failed = runner.run(session, out=output.append).failed
    assert not failed, "".join(output)


def test_the_readme_has_examples_and_the_commands_that_ci_runs():
    assert ">>> network = jaxrnn.stack(" in python_blocks(ROOT / "README.md")
    readme = (ROOT / "README.md").read_text("utf-8")
    assert re.search(r"<!-- test command -->\n```bash\n.*pytest.*\n```", readme)


def test_every_tick_names_a_test_that_exists():
    readme = (ROOT / "README.md").read_text("utf-8")
    ticks = re.findall(r"\[`(test_\w+)`\]\((tests/\w+\.py)\)", readme)
    assert len(ticks) > 30
    for name, path in ticks:
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path} has no {name}"


def test_links_of_the_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
