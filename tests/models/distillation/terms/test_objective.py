"""Objectives as text: what they mean, what is refused and how."""

import pytest

from models.contract.recipe import ConfigError
from models.distillation.terms.correlation import Correlation
from models.distillation.terms.labels import CrossEntropy
from models.distillation.terms.logits import Logits
from models.distillation.terms.objective import TERMS, check_features, parse


def test_weights_names_and_arguments_are_read():
    ce, logits, cckd = parse("0.1*ce + 0.9 * logits(temperature=3)+1e+1*cckd( gamma = 0.5, order=3, layer=stage2 )")
    assert (ce.name, ce.weight, type(ce.loss), ce.loss.needs_teacher) == ("ce", 0.1, CrossEntropy, False)
    assert (logits.weight, type(logits.loss), logits.loss.temperature) == (0.9, Logits, 3)
    assert (cckd.weight, type(cckd.loss), cckd.loss.gamma, cckd.loss.order) == (10.0, Correlation, 0.5, 3)
    assert cckd.loss.layer_names == ("stage2", "stage2")


def test_one_side_can_be_named_and_a_term_can_come_twice():
    first, second = parse("hint(teacher=stage3, student=stage2) + hint")
    assert first.loss.layer_names == ("stage3", "stage2") and second.loss.layer_names == ("embedding", "embedding")
    assert (first.name, second.name) == ("hint", "hint_2")


def test_options_stand_for_their_values():
    (term,) = parse("alpha*logits(temperature=temperature)", {"alpha": 0.7, "temperature": 5.0})
    assert term.weight == 0.7 and term.loss.temperature == 5.0


@pytest.mark.parametrize("name", TERMS)
def test_every_term_has_defaults(name):
    (term,) = parse(name)
    assert term.weight == 1 and type(term.loss) is TERMS[name]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "terms: '' is no term"),
        ("ce +", "terms: '' is no term"),
        ("ce - logits", "terms: 'ce - logits' is no term"),
        ("0.1*logit", "terms: no term 'logit'; there are ce, logits.* \\(nearest: logits\\)"),
        ("x*logits", "terms: the weight of logits is 'x': neither a number nor"),
        ("nan*logits", "terms: the weight of logits is 'nan'"),
        ("-1*logits", "terms: the weight of logits is -1; it must not be below zero"),
        ("ce(temperature=1)", "terms: ce takes no 'temperature'; it takes layer, student"),
        ("logits(temp=1)", "terms: logits takes no 'temp'; it takes layer, standardise, student, teacher, temperature"),
        ("logits(temperature)", "terms: logits.*: 'temperature' is not KEY=VALUE"),
        ("logits(temperature=0)", "terms: logits: temperature=0: must be above zero"),
        ("logits(temperature=hot)", "terms: logits: "),
        ("cckd(kernel=cubic)", "terms: cckd: kernel=cubic: not one of taylor_rbf, rbf, bilinear"),
    ],
)
def test_what_is_refused_is_named(text, message):
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_a_missing_feature_says_which_there_are():
    objective = parse("ce + hint(teacher=stage9, student=stage1)")
    with pytest.raises(
        ConfigError,
        match="hint asks for the teacher's feature 'stage9'; there are embedding, stage3 \\(nearest: stage3\\)",
    ):
        check_features(objective, ["stage3", "embedding"], ["stage1"])
    with pytest.raises(ConfigError, match="the student's feature 'stage1'; there are none"):
        check_features(objective, ["stage9"], [])
    check_features(objective, ["stage9"], ["stage1"])
