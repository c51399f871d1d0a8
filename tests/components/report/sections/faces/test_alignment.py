"""A served alignment: what `verify` and `embed` say, the figures of both scores, the report's section, and `verify`."""

import dataclasses
import json

import numpy as np
import pytest

from components.evaluation import verification
from components.evaluation.aggregates.verification import Verification
from components.report import section
from components.report.sections.faces import alignment
from components.report.sections.faces import verification as verification_section
from components.serving.served_faces import ServedFaces
from models.contract import registry
from models.faces import bank
from models.faces import verification as numbers
from models.publishing import pushed
from models.records import pictures as picture_records
from tests.components import untrained_faces

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(folder, records): an aligned network that was calibrated on some persons, and records of others."""
    root = tmp_path_factory.mktemp("aligned")
    untrained_faces.save_aligned(root, root / "model", strength=0.5)
    return root, untrained_faces.records(root / "t.gz", 5, 4)


@pytest.fixture(scope="module")
def told(served):
    root, files = served
    return ServedFaces(root / "model").evaluate([r.numpy() for r in picture_records.records(files)])


def test_both_scores_are_served(served, told):
    root, files = served
    model = ServedFaces(root / "model")
    encoded = [picture_records.parse(r)[picture_records.ENCODED].numpy() for r in picture_records.records(files)]
    faces = verification.faces_of(told["embedding"], told["label"][:, 0], told["number"][:, 0], told["pairs"],
                                  told["support"], told["alignment"])  # fmt: skip
    found = model.verify(encoded[0], encoded[5])
    cosine = float(faces.embeddings[0].astype(float) @ faces.embeddings[5])
    assert found.cosine == pytest.approx(cosine, abs=1e-5)
    assert found.aligned == pytest.approx(float(faces.align(cosine, 0, 5)), abs=1e-5)
    assert found.same == (found.aligned >= found.aligned_threshold) and found.aligned != found.cosine
    assert max(found.false_accept_rate, found.aligned_false_accept_rate) <= 0.1
    with np.load(root / "model" / pushed.EXTRA / bank.FILE) as kept:
        assert str(kept["fingerprint"]) == pushed.describe(str(root / "face"))["fingerprint"]
        nearest = np.sort(faces.embeddings @ kept["embeddings"].astype("float32").T, axis=1)[:, -2:]
    np.testing.assert_allclose(told["support"][:, 0], nearest.mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(told["support"][:, 1], nearest.std(axis=1), atol=1e-3)


def test_figures_of_the_aligned_score(told):
    """Against pairs made by hand; parts in any order give the same."""
    mean, (_, strength, average, _) = told["support"][:, 0].astype(float), told["alignment"][0]
    pairs = numbers.all_pairs(told["embedding"], told["label"][:, 0])
    rows, columns = np.triu_indices(len(mean), 1)
    scores = pairs.scores - strength * ((mean[rows] + mean[columns]) / 2 - average)
    eer = numbers.equal_error_rate(numbers.curve(scores, pairs.same))
    assert Verification(score="aligned").of(told) == pytest.approx(eer, abs=1e-6)
    harm = Verification(figure="harm")
    assert harm.of(told) == pytest.approx(eer - Verification().of(told), abs=1e-6)  # 160 pairs carry no TAR at 1e-2
    states = [harm.add(harm.empty(), {k: v[n : n + 7] for k, v in told.items()}) for n in (14, 0, 7)]
    assert harm.result(harm.of_parts(states)) == pytest.approx(harm.of(told), abs=1e-9)
    plain = {name: value for name, value in told.items() if name not in ("support", "alignment")}
    for made in (harm, Verification(score="aligned")):
        with pytest.raises(KeyError, match="its network is not aligned"):
            made.of(plain)
        assert np.isnan(made.result(made.empty()))
    with pytest.raises(ValueError, match="of the score 'other'"):
        Verification(score="other")


def test_the_section_tells_both_scores_and_the_control(served, told):
    root, files = served
    run = section.Run("ida", {}, str(root / "model"), "", files, 1, "", section.Notes())
    found = alignment.SECTION.measure(run)
    assert json.loads(json.dumps(found)) == found
    raw, new, difference, permuted = found["figures"]["eer"]
    assert raw[0] == pytest.approx(Verification().of(told)) and new[0] == pytest.approx(
        Verification(score="aligned").of(told)
    )
    assert difference[0] == pytest.approx(new[0] - raw[0]) and difference[1] <= difference[0] <= difference[2]
    order = np.random.default_rng(1).permutation(20)
    mixed = told | {"support": told["support"][order]}
    control = Verification(score="aligned").of(mixed) - Verification().of(told)
    assert permuted[0] == pytest.approx(control) and found["tar"]["1e-2"][2][0] is None
    assert found["candidates"] == 6 and found["multiply_adds"] == [6 * 8, 4 * 10] and found["source"] == "prototypes"
    means = told["support"][:, [0, 2]].astype(float)
    assert found["correlation"] == pytest.approx(np.corrcoef(means.T)[0, 1], abs=1e-4)
    html = alignment.SECTION.render(found, {})
    assert "permuted control" in html and "6 prototypes of training persons" in html and "<svg" in html
    assert "Nothing could be aligned" in alignment.SECTION.render(None, {})
    (row,) = alignment.SECTION.rows(found)
    assert row[1].startswith("subtract, strength 0.5: equal error rate")
    none = json.loads(json.dumps(found)) | {"strength": 0.0, "correlation": None}
    assert "no alignment gained anything" in alignment.SECTION.render(none, {})


def test_a_network_that_is_not_aligned_has_no_section(served):
    root, files = served
    untrained_faces.save(root / "plain")
    with pytest.raises(alignment.AlignmentError, match="aligns nothing"):
        alignment.measure(str(root / "plain"), files)


def test_the_card_tells_what_its_network_sees(served):
    root, files = served
    measured = verification_section.measure(str(root / "model"), files)
    assert (
        measured["central"] == 1.0
        and measured["decision"]["threshold"] != alignment.measure(str(root / "model"), files)["decision"]["threshold"]
    )


def test_it_is_loaded_without_the_network_it_was_made_of(served, tmp_path):
    root, _ = served
    _, config, model = pushed.load(str(root / "model"))
    gone = dataclasses.replace(config, model=str(tmp_path / "gone"))
    again = registry.get("ida").build(gone)
    again.load_weights(root / "model" / pushed.EXTRA / pushed.WEIGHTS)
    x = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
    for name, values in model(x).items():
        assert np.array_equal(np.array(values), np.array(again(x)[name]))
