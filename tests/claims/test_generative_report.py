"""The verdicts on generative codecs follow from the lines."""

import pytest

from tests.claims.generative_report import CHANNELS, RATES, WAE, WPP, report, scene_report


def generator(**other):
    row = {"mse": 0.02, "fd": 4.0, "zero_mse": 0.15, "zero_fd": 5.0, "again_fd": 5.1, "marginal": 0.06,
           "zero_variance": 0.061, "seconds": 1.0}  # fmt: skip
    return row | other


def lines():
    """Three seeds in which everything holds."""
    done = {}
    for seed in (1, 2, 3):
        d = 0.001 * seed
        done[WPP, seed] = generator(zero_fd=5.0 + d)
        done[WAE, seed] = generator(mse=0.015 + d / 10, fd=6.0 + d)
        for rate, mse, variance in zip(RATES, (0.1, 0.05, 0.022), (0.03, 0.01, 0.004), strict=True):
            bits = {"bits": 16 * rate, "seconds": 1.0}
            done[f"preserving, {rate}", seed] = bits | {"mse": mse + d / 10, "fd": 5.2 + d, "variance": variance + d,
                                                        "mmd": 0.01, "mmd_without_noise": 0.05 + d}  # fmt: skip
            done[f"MSE only, {rate}", seed] = bits | {"mse": mse - 0.01, "fd": 9.0 + d}
        for channels in CHANNELS:
            coded = {"bpp": 0.008 * channels, "bound": 0.00907 * channels, "streams": 10, "over_bound": 0,
                     "symbols_equal": 10, "seconds": 1.0}  # fmt: skip
            better = {"psnr": 20 + 0.4 * channels, "fd": 3 - 0.2 * channels + d, "sharpness": 0.9 + d}
            done[f"GC, C = {channels}", seed] = coded | better
            done[f"MSE only, C = {channels}", seed] = coded | {"psnr": 22 + 0.4 * channels + d, "fd": 4.0,
                                                               "sharpness": 0.4}  # fmt: skip
    return done


def said(done, words):
    """The verdict of the line with these words."""
    return next(line for line in report(done).splitlines() if words in line).removesuffix(" |").rpartition("| ")[2]


CLAIMS = (
    "DPLC 1: FD of 2", "DPLC 1: at 2 channels", "DPLC 2: MSE falls", "DPLC 2: at 32 channels", "DPLC 4: variance",
    "DPLC 4: without noise", "DPLC 5: Wasserstein++", "DPLC 5: and a higher", "DPLC 6", "GC 2: PSNR is lower",
    "GC 2: FD is lower", "GC 3", "GC 4: FD falls", "GC 4: PSNR rises",
)  # fmt: skip


@pytest.mark.parametrize("words", CLAIMS)
def test_what_all_seeds_say_holds(words):
    assert said(lines(), words) == "holds"


def test_one_seed_shows_nothing_and_the_opposite_does_not_hold():
    one = {key: row for key, row in lines().items() if key[1] == 1}
    assert {said(one, words) for words in CLAIMS} == {"not shown"}
    worse = lines()
    for seed in (1, 2, 3):
        worse["GC, C = 2", seed] |= {"fd": 9.0 + 0.001 * seed}
        worse["preserving, 32", seed] |= {"mse": 0.2 + 0.001 * seed}
    assert said(worse, "GC 2: FD is lower, C = 2") == "does not hold"
    assert said(worse, "DPLC 2: MSE falls") == said(worse, "DPLC 2: at 32 channels") == "does not hold"


def test_what_is_counted_is_told_apart_from_what_is_claimed():
    text = report(lines())
    assert "of 180 streams 0 are larger than the bound and the header, and 180 gave back the very symbols" in text
    assert "FD of two sets of draws is 2.0 % apart at most" in text and "1.02 to 1.02 of that of samples" in text
    broken = lines()
    broken["GC, C = 4", 2] |= {"over_bound": 1}
    assert "of 180 streams 1 are larger" in report(broken)


def test_a_gap_below_nothing_has_no_slope_and_missing_runs_no_line():
    better = {key: row | ({"mse": 0.001} if key[0] == "preserving, 8" else {}) for key, row in lines().items()}
    assert "DPLC 6" not in report(better)
    assert report({}) == "" and "GC" not in report({key: row for key, row in lines().items() if "C =" not in key[0]})


def scenes():
    """Three seeds of selective compression in which everything holds."""
    row = {"inside_mse": 0.01, "random_mse": 0.03, "total_bits": 900.0, "side_bits": 300.0, "gc_bits": 2400.0,
           "break_even": 0.875, "bits_outside": 0, "changed_by_outside": 0, "right": 0.9, "chance": 0.3}  # fmt: skip
    return {("SC, simulated", seed): row | {"right": 0.9 - 0.01 * seed, "random_mse": 0.03 + 0.001 * seed,
                                            "total_bits": 900.0 + seed} for seed in (1, 2, 3)}  # fmt: skip


def test_scenes_have_a_page_of_their_own():
    text = scene_report(scenes())
    claims = [line for line in text.splitlines() if line.startswith("| SC, simulated ") and ":" in line]
    assert len(claims) == 3 and all(line.endswith("| holds |") for line in claims)
    assert "took 0 bits, and other ones there changed 0 pictures" in text and "| 0.875 |" in text
    worse = scenes()
    for seed in (1, 2, 3):
        worse["SC, simulated", seed] |= {"right": 0.31 + 0.001 * seed, "bits_outside": 8}
    text = scene_report(worse)
    assert "took 24 bits" in text and next(line for line in text.splitlines() if "simulated 6" in line).endswith(
        "| does not hold |"
    )
    assert scene_report({}) == ""
