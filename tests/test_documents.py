"""The documents point to what is there, and the index has all of them."""

import pathlib
import re

import pytest

from pipeline.cli import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))


def anchors(path: pathlib.Path) -> set[str]:
    """What a link may name of a page: its headings, as hosts of repositories write them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        if re.match(r"https?://", target):
            continue
        if not file.exists() or anchor and anchor not in anchors(file):
            broken.append(target)
    assert not broken


def test_the_index_has_every_document():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w.]+\.md)\)", index))
    patterns = [pathlib.PurePath(name).stem for name in re.findall(r"`([\w.*]+)`", index)]
    names = {path.name for path in (ROOT / "docs").iterdir()} - {"README.md"}
    assert not {n for n in names - linked if n.split(".")[0] not in {p.split(".")[0] for p in patterns}}


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    called = set(re.findall(r"^ *kompakt ([\w-]+)", text, re.MULTILINE))
    assert len(called) > 7 and called <= set(cli.list_commands(None))


def test_released_weights_say_what_they_were_trained_on():
    page = (ROOT / "docs" / "released_weights.md").read_text(encoding="utf-8")
    weights = sorted((ROOT / "models").rglob("*.npz"))
    assert weights and all(f"`{path.relative_to(ROOT)}`" in page for path in weights)
