"""A run's outcome in two columns."""

from components.report import table


def test_a_long_name_moves_all_values():
    short = table.aligned([("bpp", "1"), ("pictures", "a b")])
    assert short == ["bpp               1", "pictures          a b"]
    first, second = table.aligned([("bpp", "1"), ("FD, this model, 0.05 bpp", "2")])
    assert second == "FD, this model, 0.05 bpp  2" and first.index("1") == second.rindex("2")
