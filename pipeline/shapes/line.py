"""What the pipelines are made of, and the plain one: a model is trained, judged, checked and pushed.

TfdsExampleGen -> StatisticsGen -> SchemaGen -> ExampleValidator
              \\-> [Tuner ->] Trainer -> Evaluator (against Baseline) -> Pusher -> Report
                                   \\-> ServingCheck ------------------/
"""

import dataclasses
import json

from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.v1 import components as tfx_components
from tfx.v1 import dsl, orchestration, proto

from components import artifacts
from components.evaluation.baseline import Baseline, last_pushed
from components.evaluation.evaluator import Evaluator, eval_config
from components.ingest.example_gen import TfdsExampleGen
from components.ingest.statistics import side_feature_options
from components.report import component as report_component
from components.serving import check as serving_check
from components.training import trainer, tuner
from models.contract.recipe import Config, Recipe
from models.records import pictures as picture_records

LOCAL_BEAM = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
TRAIN, VALIDATION, TEST = picture_records.SPLITS


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything that one run is made of.

    Attributes:
      recipe, preset, config: what is trained.
      dataset: a TFDS name ("photos" for a folder). folder: of pictures ("" without). data_digest: of its content.
      root: where artifacts go. resume_dir: checkpoints of unfinished trainings. push_dir: the serving folder.
      metadata: path of the sqlite file (None: the platform keeps its own).
      tune: trials of the search before training (0: none).
      beam_args: for every Beam component. max_unreadable: share of unreadable files that stops the run.
      gpus: accelerators that Kubeflow is asked for where they pay (0: none).
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
    beam_args: tuple[str, ...] = LOCAL_BEAM
    max_unreadable: float = 0.01
    gpus: int = 0

    @property
    def name(self) -> str:
        """Name of the pipeline (Kubeflow allows lower case, digits and hyphens)."""
        return "kompakt-" + self.recipe.name.lower().replace("_", "-")

    @property
    def run(self) -> str:
        """Digest of what decides the model: recipe, options, data, sources, and whether it is tuned."""
        return self.run_of(self.recipe, self.config)

    def run_of(self, recipe: Recipe, config: Config) -> str:
        """The same digest of another model on the same data, a teacher say."""
        sources = artifacts.source_digest(*(tuner.SOURCES if self.tune else trainer.SOURCES))
        return artifacts.digest(
            recipe.name, dataclasses.asdict(config), self.dataset, self.data_digest, sources, self.tune
        )


def create_pipeline(options: Options) -> dsl.Pipeline:
    """The plain DAG, for the local runner and for Kubeflow alike."""
    ingest = ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = validate(examples, options.recipe)
    training = train(options, examples)
    return assemble(options, [ingest, *validation, *training, *judge(options, examples, validation, training[-1])])


def ingest_of(options: Options) -> TfdsExampleGen:
    """The first step."""
    return TfdsExampleGen(
        dataset=options.dataset,
        folder=options.folder,
        digest=options.data_digest,
        max_unreadable=options.max_unreadable,
        labelled=options.recipe.labelled,
    )


def judge(options: Options, examples, validation: tuple, training, model=None) -> list:
    """What comes behind the training of the model that is served: baseline, evaluation, check, push, report.

    Args:
      training: step of the last training. model: channel of what is served, if not that step's.
    """
    model = model or training.outputs["model"]
    baseline = _baseline(options)
    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["model"],
        example_splits=[TEST],
        eval_config=eval_config(options.recipe.evaluation),
    )
    check = serving_check.ServingCheck(
        model=model, examples=examples, split=TEST, sources=artifacts.source_digest(*serving_check.SOURCES)
    )
    destination = proto.PushDestination(filesystem=proto.PushDestination.Filesystem(base_directory=options.push_dir))
    pusher = tfx_components.Pusher(
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
        settings=_report_settings(options),
    )
    return [baseline, evaluator, check, pusher, report]


def assemble(options: Options, components: list) -> dsl.Pipeline:
    """The pipeline of these components, with accelerators where they train or evaluate."""
    if options.gpus:
        for component in components:
            if isinstance(component, (tfx_components.Trainer, tfx_components.Tuner, Evaluator)):
                component.with_platform_config(_gpus(options.gpus))
    sqlite = orchestration.metadata.sqlite_metadata_connection_config
    return dsl.Pipeline(
        pipeline_name=options.name,
        pipeline_root=options.root,
        components=components,
        enable_cache=True,
        metadata_connection_config=sqlite(options.metadata) if options.metadata else None,
        beam_pipeline_args=list(options.beam_args),
    )


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


def train(
    options: Options,
    examples,
    *,
    recipe: Recipe | None = None,
    config: Config | None = None,
    teacher=None,
    name: str = "Trainer",
    keep_route: bool = False,
) -> tuple:
    """A Trainer; that of the run's own model behind a Tuner if the run is tuned.

    Args:
      recipe, config: what is trained (None: what the run is for). teacher: channel of the model that it learns from.
      keep_route: whether the model of every epoch stays in the model run.
      name: of the step; only the run's own model is trained by the step named Trainer.
    """
    recipe, config = recipe or options.recipe, config or options.config
    custom = {
        "recipe": recipe.name,
        "config": dataclasses.asdict(config),
        "run": options.run_of(recipe, config),
        "resume_dir": options.resume_dir,
    }
    if keep_route:
        custom["keep_route"] = True
    common = {"examples": examples, "base_model": teacher, "train_args": proto.TrainArgs(splits=[TRAIN]),
              "eval_args": proto.EvalArgs(splits=[VALIDATION])}  # fmt: skip
    search = ()
    if options.tune and name == "Trainer":
        search = (
            tfx_components.Tuner(
                tuner_fn="components.training.tuner.tuner_fn", custom_config=custom | {"trials": options.tune}, **common
            ),
        )
    hyperparameters = search[0].outputs["best_hyperparameters"] if search else None
    trainer_ = tfx_components.Trainer(
        run_fn="components.training.trainer.run_fn", hyperparameters=hyperparameters, custom_config=custom, **common
    )
    return *search, trainer_.with_id(name) if name != "Trainer" else trainer_


def _baseline(options: Options):
    origin = artifacts.origin_of(options.recipe, options.config, options.run)
    last = last_pushed(options.push_dir, origin)
    return Baseline(
        push_dir=options.push_dir, origin=json.dumps(origin, sort_keys=True), last=last.path if last else ""
    )


def _report_settings(options: Options) -> str:
    return json.dumps(
        {
            "recipe": options.recipe.name,
            "preset": options.preset,
            "config": dataclasses.asdict(options.config),
            "data": {"dataset": options.dataset, "folder": options.folder, "digest": options.data_digest},
            "run": options.run,
            "split": TEST,
            "sources": artifacts.source_digest(*report_component.SOURCES),
        },
        sort_keys=True,
    )


def _gpus(count: int):
    resources = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec
    return resources(accelerator=resources.AcceleratorConfig(type="nvidia.com/gpu", count=count))
