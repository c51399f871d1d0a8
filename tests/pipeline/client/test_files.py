"""What is found below folders, where results go, and how they are written."""

import collections
import pathlib

import pytest

from models.contract.errors import KompaktError
from pipeline.client import files


@pytest.fixture
def tree(tmp_path):
    """A folder of files of the given names, each holding its name."""

    def make(*names: str) -> pathlib.Path:
        for name in names:
            path = tmp_path / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        return tmp_path / "tree"

    return make


def planned(inputs, out=pathlib.Path("out")) -> list[str]:
    return [str(target) for _, target in files.plan(files.gather(inputs, (".png", ".jpg")).files, out, ".kmp", False)]


def test_what_a_folder_holds_besides_is_left_out_and_counted(tree):
    folder = tree(
        "a.png", "b.TXT", "c.txt", "README", ".d.png", "__MACOSX/e.png", "__MACOSX/f.png", ".g/h.png", "i/j.JPG"
    )
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "again").symlink_to(folder / "i")
    found, left_out = files.gather([folder], (".png", ".jpg"))
    assert [str(file.place) for file in found] == ["a.png", "i/j.JPG"]
    counted = {"hidden": 3, ".txt": 2, "without ending": 1, "broken link": 1, "linked folder": 1}
    assert {kind: count for kind, count in left_out.items() if count} == counted
    assert files.listed(collections.Counter(b=2, a=1234)) == "1,234 a, 2 b"


def test_what_was_named_is_taken(tree):
    folder = tree(".hidden.png", "__MACOSX/e.png", "no-ending")
    named = [folder / ".hidden.png", folder / "__MACOSX", folder / "no-ending", folder / ".hidden.png"]
    assert planned(named) == ["out/.hidden.kmp", "out/e.kmp", "out/no-ending.kmp"]


def test_what_is_not_there_is_told(tree):
    folder = tree("a.txt", "b.txt")
    with pytest.raises(KompaktError, match=r"tree: no file here ends in .png, .jpg \(it holds 2 .txt\)"):
        files.gather([folder], (".png", ".jpg"))
    with pytest.raises(KompaktError, match="absent: no such file or folder"):
        files.gather([folder / "absent"], (".png",))


def test_folders_and_endings_keep_results_apart(tree):
    folder = tree("a.png", "a.jpg", "b/a.png", "c.d/a.b.png", "c.d/a.png")
    assert planned([folder]) == ["out/a.jpg.kmp", "out/a.png.kmp", "out/b/a.kmp", "out/c.d/a.b.kmp", "out/c.d/a.kmp"]


def test_two_inputs_of_one_place_are_refused(tree):
    folder = tree("one/a.png", "two/a.png", "two/b.png")
    assert planned([folder, folder / "one"]) == ["out/one/a.kmp", "out/two/a.kmp", "out/two/b.kmp"]
    with pytest.raises(KompaktError, match="one/a.png and .*two/a.png would both become out/a.png.kmp; nothing was"):
        planned([folder / "one", folder / "two"])


def test_what_exists_is_in_the_way(tree, tmp_path):
    folder = tree("a.png")
    (tmp_path / "a.kmp").symlink_to("nowhere")
    with pytest.raises(KompaktError, match="a.kmp: exists"):
        planned([folder], tmp_path)


def test_a_file_that_cannot_be_written_loses_no_other(tree, tmp_path, capsys):
    folder = tree(f"{'n' * 250}.png", f"{'n' * 250}.jpg", "good.png")
    pairs = files.plan(files.gather([folder], (".png", ".jpg")).files, tmp_path / "out", ".kmp", False)
    with pytest.raises(KompaktError, match=f"2 of 3 files failed; the others are in {tmp_path}/out"):
        files.process(pairs, tmp_path / "out", "copying", lambda content: (content, "copied"))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.kmp"]
    assert capsys.readouterr().err.count("File name too long") == 2


def test_a_name_may_be_as_long_as_a_name_can_be(tmp_path):
    path = tmp_path / ("n" * 255)
    files.write_whole(path, b"whole")
    assert path.read_bytes() == b"whole" and list(tmp_path.iterdir()) == [path]
