"""Pages of runs from before a report named its sections: they are drawn from the same numbers, and look the same."""

from components.report import page

POINT = {"bpp": 0.31, "psnr_db": 30.0, "ms_ssim": 0.95}


def test_a_codecs_page_is_as_it_was():
    html = page.render({"recipe": "hyperprior"})
    assert "Rate and distortion" in html and "Confusions" not in html and "no picture was coded" in html.lower()
    curve = [{"bpp": b, "psnr_db": q} for b, q in ((0.1, 24.0), (0.9, 33.0))]
    measured = {"each": [{"key": "a.png", **POINT}], "mean": POINT, "classic": {"JPEG": curve}, "pictures": []}
    data = {"recipe": "hyperprior", "kind": "codec", "measured": measured, "earlier": [{"version": "3", **POINT}]}
    html = page.render(data)
    assert "earlier pushes" in html and "Means over 1 picture of the test split." in html and "Against JPEG" in html


def test_a_classifiers_page_is_as_it_was():
    reliability = [{"confidence": 0.6, "accuracy": 0.5, "count": 10}]
    classified = {"names": ["cat", "dog"], "confusion": [[18, 2], [5, 15]], "reliability": reliability}
    int8 = {"accuracy": 0.5, "float_accuracy": 0.75, "agreement": 0.6, "size_bytes": 4321}
    table = [{"role": "teacher", "models": 1, "accuracy": (0.95, None)}]
    data = {"recipe": "distill", "kind": "student", "noun": "pictures", "classified": classified, "int8": int8}
    html = page.render(data | {"comparison": table})
    assert html.index("Side by side") < html.index("Confusions and confidence") < html.index("The int8 TFLite file")
    assert "Rate and distortion" not in html and "what a picture of the test split is" in html


def test_recordings_keep_their_titles_and_their_details_aside():
    names = ("challenge_f1", "f1_noise", "precision_noise", "accuracy")
    data = {
        "recipe": "ecg_cnn", "kind": "transformed", "noun": "recordings", "classified": None,
        "metrics": [{"name": n, "unit": "", "better": "higher"} for n in names],
        "slices": [{"slice": "all", "examples": 12, "values": dict.fromkeys(names, 0.5) | {"recall_other": 0.1}}],
    }  # fmt: skip
    html = page.render(data)
    assert "challenge F1" in html and "F1 noise" in html and "No recording was classified" in html
    assert "precision_noise" not in html and "recall_other" not in html
