"""What the pipelines are made of, and the plain one: a model is trained, judged, checked and pushed.

TfdsExampleGen -> StatisticsGen -> SchemaGen -> ExampleValidator
              \\-> [Tuner ->] Trainer -> Evaluator (against Baseline) -> Pusher -> Report
                                   \\-> ServingCheck ------------------/
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tfx import components as tfx_components
from tfx.dsl.placeholder.placeholder import Placeholder
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2
from tfx.types import channel_utils

from components import artifacts, closure, given
from components.artifacts import LOCAL_BEAM
from components.evaluation.baseline import Baseline, last_pushed
from components.evaluation.evaluator import Evaluator, eval_config
from components.ingest.data_digest import DataDigest
from components.ingest.example_gen import TfdsExampleGen
from components.ingest.statistics import side_feature_options
from components.report import component as report_component
from components.report import section
from components.serving.check import ServingCheck
from components.serving.pusher import Pusher
from models.contract import registry
from models.contract.recipe import Config, Recipe
from models.records import pictures as picture_records

RUN_FN = "components.training.trainer.run_fn"
TUNER_FN = "components.training.tuner.tuner_fn"
SOURCES = "sources"  # the parameter of a step that holds the digest of its code
TRAIN, VALIDATION, TEST = picture_records.SPLITS


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything that one run is made of.

    Attributes:
      recipe, preset, config: what is trained.
      dataset: a TFDS name ("photos" for a folder). folder: of pictures ("" without). data_digest: of its content.
      root: where artifacts go. resume_dir: checkpoints of unfinished trainings. push_dir: the serving folder.
      metadata: path of the sqlite file (None: the platform keeps its own).
      tune: trials of the search before training (0: none). plan: what else `tuning.plan.Plan` takes, if not the usual.
      sweep_logs: where logs of trials stay ("": nowhere).
      records_by: modules that make the records which are trained on.
      beam_args: for every Beam component. max_unreadable: share of unreadable files that stops the run.
      workers: processes on this machine that share each training. mirrored: whether several devices must share it.
      elsewhere: whether it is run on a cluster, with data, steps and a serving folder that are told when it is started.
    """

    recipe: Recipe
    preset: str
    config: Config
    dataset: str
    folder: str
    data_digest: str
    root: str
    resume_dir: str
    push_dir: str
    metadata: str | None = None
    tune: int = 0
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sweep_logs: str = ""
    records_by: tuple[str, ...] = (TfdsExampleGen.__module__,)
    beam_args: tuple[str, ...] = LOCAL_BEAM
    max_unreadable: float = 0.01
    workers: int = 1
    mirrored: bool = False
    elsewhere: bool = False

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return artifacts.pipeline_name(self.recipe.name)

    @property
    def run(self) -> str:
        """Digest of what decides the model: recipe, options, data, given models, code, and whether it is tuned."""
        return self.run_of(self.recipe, self.config)

    def run_of(self, recipe: Recipe, config: Config) -> str:
        """The same digest of another model on the same data, a teacher say."""
        functions = (RUN_FN, TUNER_FN) if self.tune else (RUN_FN,)
        modules = (*self.records_by, *(name.rpartition(".")[0] for name in functions))
        code = closure.digest(*modules, names=self.names_of(recipe, config))
        return artifacts.digest(
            recipe.name, dataclasses.asdict(config), given.models(config), self.dataset, self.data_digest, code,
            self.tune,
        )  # fmt: skip

    def names_of(self, recipe: Recipe, config: Config) -> set[str]:
        """What the code of a step that has to do with a model finds by a name: recipes, and `data_names`."""
        return given.recipes(recipe.name, config) | self.data_names

    @property
    def data_names(self) -> set[str]:
        """What the ingest finds by a name. "photos" is imported anyway; without it a set that has no builder of ours
        would name none of them, and so depend on all."""
        return {self.dataset, self.recipe.data, "photos"}


def create_pipeline(options: Options) -> Pipeline:
    """The plain DAG, for the local runner and for Kubeflow alike."""
    ingest = ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = validate(examples, options.recipe)
    training = tuned(options, examples)
    return assemble(options, [ingest, *validation, *training, *judge(options, examples, validation, training[-1])])


def ingest_of(options: Options) -> TfdsExampleGen:
    """The first step; behind the one that digests the data, if they lie on a cluster."""
    digest = options.data_digest
    if options.elsewhere and options.folder:
        noun, labelled = options.recipe.data, int(options.recipe.labelled)
        seen = DataDigest(dataset=options.dataset, folder=options.folder, labelled=labelled, noun=noun)
        digest = seen.outputs["digest"].future()[0].value
    ingest = TfdsExampleGen(
        dataset=options.dataset,
        folder=options.folder,
        digest=digest,
        max_unreadable=options.max_unreadable,
        labelled=options.recipe.labelled,
    )
    sign(ingest, options.data_names)
    return ingest


def judge(options: Options, examples, validation: tuple, training, model=None, comparison=None) -> list:
    """What comes behind the training of the model that is served: baseline, evaluation, check, push, report.

    Args:
      training: step of the last training. model: channel of what is served, if not that step's.
      comparison: step that compares models, if there is one.
    """
    model = model or training.outputs["model"]
    baseline = _baseline(options, model)
    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["model"],
        example_splits=[TEST],
        eval_config=eval_config(options.recipe.evaluation),
    )
    check = ServingCheck(model=model, examples=examples, split=TEST)
    destination = pusher_pb2.PushDestination(
        filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=options.push_dir)
    )
    pusher = Pusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        push_destination=destination,
    )
    report = report_component.Report(
        examples=examples,
        model=model,
        model_run=training.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
        anomalies=validation[-1].outputs["anomalies"],
        comparison=comparison.outputs["table"] if comparison else None,
        settings=_report_settings(options),
    )
    return [baseline, evaluator, check, pusher, report]


def assemble(options: Options, components: list) -> Pipeline:
    """The pipeline of these components, and of those whose values they take; each with its code's digest."""
    components = [*_makers_of_values(components), *components]
    for component in components:
        sign(component, _names(component, options))
    sqlite = metadata.sqlite_metadata_connection_config
    return Pipeline(
        pipeline_name=options.name,
        pipeline_root=options.root,
        components=components,
        enable_cache=True,
        metadata_connection_config=sqlite(options.metadata) if options.metadata else None,
        beam_pipeline_args=list(options.beam_args),
    )


def _makers_of_values(components: list) -> list:
    """The steps whose outputs are parameters of others."""
    values = [value for c in components for value in c.exec_properties.values() if isinstance(value, Placeholder)]
    channels = [channel_utils.unwrap_simple_channel_placeholder(value) for value in values]
    return [channel.producer_component for channel in channels]


def sign(component, names: Collection[str]) -> None:
    """Gives a step a parameter that follows its code, since TFX's cache knows a step's name, inputs and parameters.

    No component declares it and no executor reads it. A step that is signed already, or runs no code of ours, stays.

    Args:
      names: what the code finds by name, as for `components.closure.files`.
    """
    modules = closure.modules_of(component)
    if modules and SOURCES not in component.exec_properties:
        component.exec_properties[SOURCES] = closure.digest(*modules, names=names)


def _names(component, options: Options) -> set[str]:
    """What a step's code finds by name; of a training that of its own recipe, which may be a teacher's."""
    custom = json.loads(component.exec_properties.get("custom_config") or "null") or {}
    recipe = registry.get(custom["recipe"]) if "recipe" in custom else options.recipe
    config = recipe.config(**custom["config"]) if "recipe" in custom else options.config
    return options.names_of(recipe, config)


def validate(examples, recipe: Recipe) -> tuple:
    """Statistics of the side features, the schema of the training split, and where other splits depart from it."""
    options = side_feature_options(recipe.labelled, recipe.data)
    statistics = tfx_components.StatisticsGen(examples=examples, stats_options=options)
    schema = tfx_components.SchemaGen(
        statistics=statistics.outputs["statistics"], infer_feature_shape=True, exclude_splits=[VALIDATION, TEST]
    )
    validator = tfx_components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    return statistics, schema, validator


def tuned(options: Options, examples) -> tuple:
    """The Trainer of the run's own model, behind a Tuner if the run is tuned."""
    if not options.tune:
        return train(options, examples)
    found = search(options, examples)
    return found, *train(options, examples, found=found)


def behind(options: Options, before: Callable[[Options, Any], tuple], by: str) -> Pipeline:
    """The pipeline of a training with steps before it, the last model of which it is given.

    Args:
      before: of options and the channel of the records: (steps, channel of the model, that of what is trained on).
      by: the module that makes these records.
    """
    learned = dataclasses.replace(options, records_by=(*options.records_by, by))
    ingest = ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = validate(examples, options.recipe)
    first, model, records = before(options, examples)
    found = search(learned, records, model) if options.tune else None
    (training,) = train(learned, records, teacher=model, found=found)
    judged = judge(learned, examples, validation, training)
    return assemble(learned, [ingest, *validation, *first, *([found] if found else []), training, *judged])


def search(options: Options, examples, teacher=None):
    """A Tuner of the run's own model; `teacher` is the channel of the model that it learns from."""
    custom, common = _training(options, options.recipe, options.config, examples, teacher)
    custom |= {"trials": options.tune, "plan": dict(options.plan), "sweep_logs": options.sweep_logs}
    return tfx_components.Tuner(tuner_fn=TUNER_FN, custom_config=custom, **common)


def train(
    options: Options,
    examples,
    *,
    recipe: Recipe | None = None,
    config: Config | None = None,
    teacher=None,
    name: str = "Trainer",
    keep_route: bool = False,
    found=None,
    settled: Collection[str] = (),
) -> tuple:
    """A Trainer.

    Args:
      recipe, config: what is trained (None: what the run is for). teacher: channel of the model that it learns from.
      keep_route: whether the model of every epoch stays in the model run.
      name: of the step; only the run's own model is trained by the step named Trainer.
      found: the Tuner whose values it takes (None: the configuration's own). settled: options that stay even so.
    """
    custom, common = _training(options, recipe or options.recipe, config or options.config, examples, teacher)
    if keep_route:
        custom["keep_route"] = True
    if settled:
        custom["settled"] = sorted(settled)
    if options.workers > 1:
        custom["workers"] = options.workers
    if options.mirrored:
        custom["mirrored"] = True
    trainer_ = tfx_components.Trainer(
        run_fn=RUN_FN,
        hyperparameters=found.outputs["best_hyperparameters"] if found else None,
        custom_config=custom,
        **common,
    )
    return (trainer_.with_id(name) if name != "Trainer" else trainer_,)


def _training(options: Options, recipe: Recipe, config: Config, examples, teacher) -> tuple[dict, dict]:
    """What Tuner and Trainer are told: in `custom_config`, and in arguments."""
    custom = {
        "recipe": recipe.name,
        "config": dataclasses.asdict(config),
        "run": options.run_of(recipe, config),
        "models": given.models(config),
        "resume_dir": options.resume_dir,
    }
    if options.elsewhere:
        custom["data"] = options.data_digest
    return custom, {"examples": examples, "base_model": teacher, "train_args": trainer_pb2.TrainArgs(splits=[TRAIN]),
                    "eval_args": trainer_pb2.EvalArgs(splits=[VALIDATION])}  # fmt: skip


def _baseline(options: Options, model):
    origin = artifacts.origin_of(options.recipe, options.config, options.run)
    last = last_pushed(options.push_dir, origin)
    return Baseline(
        push_dir=options.push_dir,
        origin=json.dumps(origin, sort_keys=True),
        last=f"{last.path} {given.content_of(last.path)}" if last else "",
        candidate=model if options.elsewhere else None,
    )


def _report_settings(options: Options) -> str:
    section.check(options.recipe)
    return json.dumps(
        {
            "recipe": options.recipe.name,
            "preset": options.preset,
            "config": dataclasses.asdict(options.config),
            "data": {"dataset": options.dataset, "folder": options.folder, "digest": options.data_digest},
            "run": options.run,
            "split": TEST,
        },
        sort_keys=True,
    )
