"""FitNets' two stages (arXiv:1412.6550): hints alone teach the student's first layers, then its objective all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras

from models.classifiers import products
from models.contract.training import Files, Phase
from models.distillation.inputs import prepare

if TYPE_CHECKING:
    from models.distillation.student import Student, StudentConfig


def stages(config: StudentConfig, files: Files):
    """The phases of a distillation: `hint_terms` alone for a share of the steps, if there are any; then `terms`.

    With a budget of multiplications `terms` are the objective of all three phases of such a network.
    """
    if config.budget:
        yield from products.phases(config, files, lambda model: model.student.network, prepare)
        return
    hints = int(config.steps * config.hint_share) if config.hint_terms else 0
    if hints:
        yield Phase("hints", hints, {"terms": config.hint_terms}, prepare=prepare, frozen=unguided)
        options = {"seed": config.seed + 1}
        yield Phase("distillation", config.steps - hints, options, inherit=hand_on, prepare=prepare)
    else:
        yield Phase("", config.steps, prepare=prepare)


def hand_on(model: Student, before: Student) -> None:
    """Of one phase to the next: the student alone. Teacher and regressors are those of the new phase."""
    model.student.set_weights(before.student.get_weights())


def unguided(model: Student) -> list[keras.Layer]:
    """The student's layers behind all that its terms look at: no gradient comes to them."""
    network = model.student.network
    wanted = [w.loss.layer_names[1] for w in model.objective]
    if not all(wanted):
        return []  # the logits: everything is looked at
    guided = keras.Model(network.inputs, [network.get_layer(name).output for name in wanted])
    looked_at = {id(layer) for layer in guided.layers}
    return [layer for layer in network.layers if id(layer) not in looked_at]


def both(config: StudentConfig) -> StudentConfig:
    """The configuration with the terms of both stages in one objective: what has to be asked of the teacher."""
    return dataclasses.replace(config, terms=" + ".join(filter(None, (config.terms, config.hint_terms))))
