"""Pieces of the suite: what stays together, and what begins."""

import pathlib

from tests.pieces import LONGEST, in_order, piece

CONTRACT = "tests/models/contract/test_recipes.py"
IDS = [
    "tests/test_a.py::test_one[edic-2]",
    f"{CONTRACT}::TestContract::test_saves_and_loads[edic]",
    f"{CONTRACT}::TestContract::test_saves_and_loads[small_cnn]",
    f"{CONTRACT}::TestContract::test_mixed_precision[mixed_float16-edic]",
    f"{CONTRACT}::test_a_process_reads_the_streams",
    "tests/models/training/test_replicas.py::test_a_step[small_cnn]",
    "tests/test_a.py::test_two",
]


def test_a_file_is_a_piece_and_so_are_a_recipe_s_tests_of_the_contract():
    assert [piece(i).removeprefix(CONTRACT) for i in IDS] == [
        "tests/test_a.py", "[edic]", "[small_cnn]", "[edic]", "", "tests/models/training/test_replicas.py",
        "tests/test_a.py",
    ]  # fmt: skip


def test_the_longest_files_begin_and_pieces_stay_together():
    assert in_order(IDS) == [5, 1, 3, 2, 4, 0, 6]


def test_the_longest_files_are_there():
    assert all((pathlib.Path(__file__).parent / file).is_file() for file in LONGEST)
