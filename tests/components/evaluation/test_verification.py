"""Figures of sets of faces: what they are, that no order of parts matters, and what too few pairs say."""

import numpy as np
import pytest

from components.evaluation import aggregate, evaluator, verification
from components.evaluation.aggregates.verification import Verification
from models.contract import registry
from models.faces import verification as numbers


def people(count, each, spread, seed=1):
    """Embeddings [N, 8] and persons [N] of so many people."""
    random = np.random.default_rng(seed)
    persons = np.repeat(np.arange(count), each)
    vectors = random.normal(size=(count, 8))[persons] + spread * random.normal(size=(len(persons), 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32"), persons


def outputs(embeddings, persons, listed):
    """What `serving_default` gives for the set; listed: (first, second, same, fold)."""
    pairs = np.full((len(persons), 8, 3), -1)
    used = np.zeros(len(persons), int)
    for first, second, same, fold in listed:
        pairs[first, used[first]] = second, same, fold
        used[first] += 1
    return {"embedding": embeddings, "label": persons[:, None], "number": np.arange(len(persons))[:, None],
            "pairs": pairs}  # fmt: skip


def some_pairs(persons, count=120, folds=4):
    random = np.random.default_rng(5)
    found, used = {}, np.zeros(len(persons), int)
    while len(found) < count:
        a, b = sorted(random.choice(len(persons), 2, replace=False).tolist())
        if len(found) % 2:
            b = int(random.choice(np.flatnonzero(persons == persons[a])))
        if a != b and used[a] < 8 and (a, b) not in found:
            found[a, b] = int(persons[a] == persons[b])
            used[a] += 1
    return [(a, b, same, n % folds) for n, ((a, b), same) in enumerate(found.items())]


@pytest.fixture(scope="module")
def given():
    embeddings, persons = people(30, 4, 0.8)
    return outputs(embeddings, persons, some_pairs(persons))


def test_parts_in_any_order_give_what_the_whole_gives(given):
    for metric in registry.get("face").evaluation.metrics:
        made = aggregate.make(metric.aggregate, metric.name, metric.arguments)
        whole = made.of(given)
        order = np.random.default_rng(1).permutation(120)
        shuffled = {name: value[order] for name, value in given.items()}
        # Bundles are padded to their own longest list of pairs.
        parts = [{name: value[n : n + 17] for name, value in shuffled.items()} for n in range(0, 120, 17)]
        parts = [
            part | {"pairs": part["pairs"][:, : 1 + int((part["pairs"][..., 0] >= 0).sum(1).max())]} for part in parts
        ]
        states = [made.add(made.empty(), aggregate.labelled(part)) for part in parts]
        merged = made.result(made.merge(made.of_parts(states[:3]), made.of_parts(states[3:])))
        assert merged == pytest.approx(whole, abs=1e-9, nan_ok=True), metric.name
        assert np.isnan(made.result(made.empty()))


def test_figures_are_those_of_all_pairs_and_of_the_listed(given):
    embeddings, persons = given["embedding"], given["label"][:, 0]
    pairs = numbers.all_pairs(embeddings, persons)
    curve = numbers.curve(pairs.scores, pairs.same)
    assert Verification(figure="eer").of(given) == pytest.approx(numbers.equal_error_rate(curve), abs=1e-6)
    assert Verification(figure="tar", far=0.1).of(given) == pytest.approx(numbers.tar_at(curve, 0.1))
    assert Verification(figure="rank1").of(given) == numbers.first_ranks(embeddings, persons)[0].mean()
    listed = [(n, *row) for n, rows in enumerate(given["pairs"]) for row in rows if row[0] >= 0]
    scores = np.array([embeddings[a] @ embeddings[b] for a, b, _, _ in listed])
    same, folds = (np.array([pair[n] for pair in listed]) for n in (2, 3))
    expected = numbers.accuracy_by_folds(scores, same.astype(bool), folds).mean()
    assert Verification(figure="accuracy").of(given) == pytest.approx(expected)
    for figure, far in (("eer", 0.0), ("tar", 0.1), ("rank1", 0.0), ("accuracy", 0.0)):
        low, value, high = (Verification(figure=figure, far=far, end=end).of(given) for end in ("low", "", "high"))
        assert low <= value <= high and 0.0 < high - low < 0.5


def test_an_interval_is_of_persons_not_of_pairs():
    """Of the same number of pairs those of few persons say less."""
    few, many = (people(count, each, 0.9) for count, each in ((6, 16), (48, 3)))
    widths = []
    for embeddings, persons in (few, many):
        given = outputs(embeddings, persons, [])
        ends = [Verification(figure="eer", end=end).of(given) for end in ("low", "high")]
        widths.append(ends[1] - ends[0])
    assert widths[0] > widths[1] > 0


def test_too_few_pairs_say_nothing_and_do_not_fail():
    given = outputs(*people(5, 3, 0.5), [])  # 90 impostor pairs
    assert np.isnan(Verification(figure="tar", far=0.01).of(given))
    assert np.isnan(Verification(figure="tar", far=0.1).of(given)) and np.isnan(
        Verification(figure="accuracy").of(given)
    )
    assert np.isfinite(Verification(figure="eer").of(given))
    nobody = outputs(*people(1, 3, 0.5), [])
    assert np.isnan(Verification(figure="eer").of(nobody)) and np.isnan(Verification(figure="rank1").of(nobody))
    single = outputs(*people(4, 1, 0.5), [])
    assert np.isnan(Verification(figure="rank1", end="low").of(single))
    # What may be undefined has no bounds in TFMA; the equal error rate must be a number to bless a model.
    config = evaluator.eval_config(registry.get("face").evaluation)
    bounded = {m.config.partition('"name": "')[2].partition('"')[0] for m in config.metrics_specs[0].metrics
               if m.per_slice_thresholds}  # fmt: skip
    assert "eer" in bounded and "tar_at_far_1e-3" not in bounded and "rank1" not in bounded


def test_pairs_of_pictures_that_are_missing_are_counted():
    embeddings, persons = people(4, 2, 0.5)
    given = outputs(embeddings, persons, [(0, 1, 1, 0), (0, 2, 0, 1), (3, 99, 0, 1)])
    faces = verification.faces_of(embeddings, persons, np.arange(8), given["pairs"])
    assert faces.missing == 1 and len(faces.same) == 2 and faces.same.tolist() == [True, False]
    assert verification.decided(faces, -2.0) == {"far": 1.0, "tar": 1.0}


def test_arguments_that_are_none_are_refused():
    for arguments in ({"figure": "auc"}, {"figure": "tar", "far": 0.5}, {"far": 0.1}, {"end": "middle"}):
        with pytest.raises(ValueError, match="there are eer, accuracy, tar, rank1, tar at 1e-1, 1e-2, 1e-3"):
            Verification(**arguments)
