"""The page of a classifier and of a distillation: confusions, reliability, models side by side."""

from components.report import page

DATA = {
    "recipe": "distill", "kind": "student",
    "slices": [{"slice": "all", "examples": 40, "values": {"accuracy": 0.9, "calibration_error": 0.031}}],
    "metrics": [{"name": "accuracy", "unit": "", "better": "higher"}],
    "classified": {
        "names": ["cat", "<dog>"], "confusion": [[18, 2], [5, 15]],
        "reliability": [{"confidence": 0.6, "accuracy": 0.5, "count": 10},
                        {"confidence": 0.95, "accuracy": 0.9, "count": 30}],
    },
    "comparison": [
        {"role": "teacher", "models": 1, "accuracy": (0.95, None), "parameters": (272474, None)},
        {"role": "student", "models": 3, "accuracy": (0.9, 0.012), "parameters": (4854, 0.0)},
    ],
}  # fmt: skip


def test_a_classifiers_page_has_confusions_and_no_rates():
    html = page.render(DATA)
    assert "Confusions and confidence" in html and "Rate and distortion" not in html and "<h2>Pictures" not in html
    assert "&lt;dog&gt;" in html and "<dog>" not in html
    assert html.count("<svg") >= 1 and "share of right answers" in html
    assert "taken for &lt;dog&gt;" in html and ">18<" in html
    assert "noisy latents" not in html


def test_models_stand_side_by_side_with_their_spread():
    html = page.render(DATA)
    assert "Side by side" in html and "student (3 models)" in html
    assert "0.9000 ± 0.012" in html and "272,474" in html
    assert "Side by side" not in page.render({k: v for k, v in DATA.items() if k != "comparison"})


def test_many_classes_show_their_worst_pairs_alone():
    count = 30
    confusion = [[10 if i == j else int(j == i + 1) for j in range(count)] for i in range(count)]
    names = [f"class {i}" for i in range(count)]
    html = page.render(DATA | {"classified": DATA["classified"] | {"names": names, "confusion": confusion}})
    assert '<table class="confusion">' not in html and html.count("taken for") == 20


def test_a_codecs_page_is_as_it_was():
    html = page.render({"recipe": "hyperprior"})
    assert "Rate and distortion" in html and "Confusions" not in html
