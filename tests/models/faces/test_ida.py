"""Alignments: options and their mistakes, whose bank it is, what is chosen on the validation, what is learned."""

import dataclasses

import numpy as np
import pytest

from models.contract import registry
from models.contract.recipe import ConfigError
from models.faces import alignment, bank, calibration, decision, ida, original, verification
from models.publishing import pushed
from tests.models.examples import photograph, picture_record, write_records
from tests.models.kinds import KINDS, tiny

RECIPE = registry.get("ida")


def config_of(**options):
    return RECIPE.make_config("small", tiny(RECIPE) | options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return KINDS["aligned"].write(tmp_path_factory.mktemp("faces"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": -0.5}, "strength=-0.5: must be at least 0, or -1 to choose it"),
        ({"source": "file"}, "source=file and bank=PATH: give both or neither"),
        ({"bank": "b.npz"}, "source=file and bank=PATH: give both or neither"),
        ({"init": "somewhere"}, "give the network that is aligned as model="),
        ({"mode": "substract"}, "not one of subtract, ratio, zscore, one_sided (nearest: subtract)"),
        ({"model": "small_cnn"}, "model=small_cnn: small_cnn, which is no network for faces"),
        ({"model": "face", "model_settings": "margn=1"}, "face has no option 'margn'; the nearest is 'margin'"),
        ({"duplicate": 2.0}, "duplicate=2.0: must be between 0.0 and 1.0"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(ConfigError) as caught:
        config_of(**options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_models_that_are_none_are_refused(tmp_path, files):
    recipe = registry.get("small_cnn")
    config = recipe.make_config("small", {"classes": 3, "image_size": 16, "width": 4})
    pushed.save(tmp_path / "classifier", recipe, config, recipe.build(config), fingerprint="1")
    for path, said in ((tmp_path / "none", "neither a recipe's name nor a pushed model"),
                       (tmp_path / "classifier", "small_cnn, which is no network for faces"),
                       ("face", "a recipe; outside the pipeline give the path of a pushed model")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"^model={path}: .*{said}"):
            RECIPE.adapt(config_of(model=str(path)), [files["train"]])
    nobody = write_records(tmp_path / "n.gz", [picture_record(photograph(16, 16))])
    with pytest.raises(ConfigError, match="do not say whom they show"):
        RECIPE.adapt(config_of(), [nobody])


def test_the_data_say_how_many_candidates_there_are(tmp_path, files):
    found = RECIPE.adapt(config_of(candidates=0), [files["train"]])
    assert (found.candidates, found.belongs_to, found.support) == (3, "0badcafe", 2)
    assert RECIPE.adapt(config_of(candidates=0, source="mixed"), [files["train"]]).candidates == 2000
    assert config_of(candidates=500, neighbours=0, mode="zscore").support == 200
    assert config_of(candidates=500, neighbours=0).support == 10
    with pytest.raises(
        ConfigError, match="candidates=9: the training has 3 persons, and the bank at most 3 candidates"
    ):
        RECIPE.adapt(config_of(candidates=9), [files["train"]])
    vectors = np.random.default_rng(1).normal(size=(7, 8))
    np.savez(tmp_path / "own.npz", embeddings=vectors, fingerprint="0badcafe")
    given = config_of(candidates=0, source="file", bank=str(tmp_path / "own.npz"))
    assert RECIPE.adapt(given, [files["train"]]).candidates == 7
    np.savez(tmp_path / "own.npz", embeddings=vectors, fingerprint="12345678")
    with pytest.raises(ConfigError, match="made by the model with the fingerprint 12345678"):
        RECIPE.adapt(given, [files["train"]])


@pytest.fixture(scope="module")
def prepared(files):
    """An adapted configuration, its model with network and bank, and vectors and persons of the validation."""
    config = RECIPE.adapt(config_of(false_accept_rate=0.3), [files["train"]])
    model = RECIPE.build(config)
    ida.prepare(model, config, files_of(files))
    return config, model, *decision.vectors_of(model, [files["validation"]], ida.face_config(config))


def files_of(files):
    from models.contract.training import Files

    return Files([files["train"]], [files["validation"]], "", "")


def test_the_bank_is_that_of_the_training(prepared, files):
    config, model, *_ = prepared
    network = original.load(original.described(config.model))
    vectors, persons = decision.embedded(network, [files["train"]], ida.face_config(config))
    wanted = bank.prototypes(vectors, persons, 3)
    np.testing.assert_allclose(np.array(model.candidates), wanted.embeddings, atol=1e-5)
    assert np.array_equal(np.array(model.persons), wanted.persons)
    found = np.stack(model.supported(vectors, persons), axis=1)
    np.testing.assert_allclose(np.array(model.usual), [found.mean(0), found.std(0).clip(1e-3)], atol=1e-5)
    changed = dataclasses.replace(config, belongs_to="fefefefe")
    other = RECIPE.build(changed)
    with pytest.raises(ConfigError, match="changed while it was aligned"):
        ida.prepare(other, changed, files_of(files))


@pytest.mark.parametrize("mode", ["subtract", "ratio", "zscore", "one_sided"])
@pytest.mark.parametrize("estimator", alignment.ESTIMATORS)
def test_thresholds_and_strength_are_chosen_on_the_validation(prepared, mode, estimator):
    config, model, vectors, persons = prepared
    config = dataclasses.replace(config, mode=mode, estimator=estimator)
    model.config = config
    calibration.calibrate(model, config, vectors, persons)
    support, unit = calibration.said(model, vectors), decision.unit(vectors)
    np.testing.assert_allclose(np.array(model.form)[:2], support[:, [0, 2]].mean(axis=0), rtol=1e-5)
    align = model.alignment_of(support, estimator)
    tars = []
    for strength in (0.0, 0.25, 0.5, 1.0):
        form = align.form._replace(strength=strength)
        pairs = verification.all_pairs(unit, persons, align=align._replace(form=form))
        tars.append(verification.tar_at(verification.curve(pairs.scores, pairs.same), 0.3))
    chosen = float(np.array(model.form)[2])
    assert chosen == (1.0 if mode in ("ratio", "zscore") else (0.0, 0.25, 0.5, 1.0)[int(np.argmax(tars))])
    for made, by in ((model.decision, None), (model.aligned_decision, align)):
        threshold, rate, impostors = np.array(made)
        pairs = verification.all_pairs(unit, persons, align=by)
        accepted = pairs.scores[~pairs.same] >= threshold
        assert impostors == len(accepted) == 12 and rate == pytest.approx(accepted.mean()) and rate <= 0.3


def test_the_estimator_learns_what_the_bank_says(prepared):
    """By Huber's loss in standard deviations of the training; R squared is scikit-learn's."""
    from sklearn.metrics import r2_score

    random = np.random.default_rng(3)
    wanted, estimated = random.random(50).astype("float32"), random.random(50).astype("float32")
    metric = ida.Determination()
    metric.update_state(wanted[:20], estimated[:20])
    metric.update_state(wanted[20:], estimated[20:])
    assert float(metric.result()) == pytest.approx(r2_score(wanted, estimated), abs=1e-4)
    config, model, *_ = prepared
    x = random.random((6, 16, 16, 3), np.float32)
    found = model(x)
    mean, spread = (np.array(part) for part in model.supported(found["embedding"], np.array([0, 1, 2, 0, 1, 2])))
    deviation = np.array(model.usual)[1]
    error = np.abs(np.stack([mean, spread], 1) - np.array(found["support"])[:, 2:]) / deviation
    huber = np.where(error <= 1, error**2 / 2, error - 0.5).sum(1).mean()
    loss = model.compute_loss(None, np.array([0, 1, 2, 0, 1, 2]), found)
    assert float(loss) == pytest.approx(huber, rel=1e-4)
