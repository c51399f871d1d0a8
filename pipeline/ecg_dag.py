"""The pipeline of models of electrocardiograms: the plain one, trained on what Transform makes of the recordings.

TfdsExampleGen -> StatisticsGen -> SchemaGen -> ExampleValidator
              \\-> Transform (with RecordSchema) -> [Tuner ->] Trainer -> as in `pipeline.dag`

The served model takes ingest records as they are, so evaluation, serving check and report stay on those.
"""

from tfx.v1 import components as tfx_components
from tfx.v1 import dsl, proto

from components import artifacts, ecg_transform
from models import data
from pipeline import dag


def create_pipeline(options: dag.Options) -> dsl.Pipeline:
    """The DAG of one recipe of kind "ecg"."""
    ingest = dag.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = dag.validate(examples, options.recipe)
    sources = artifacts.source_digest(*ecg_transform.SOURCES)
    schema = ecg_transform.RecordSchema(sources=sources)
    transform = tfx_components.Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.ecg_transform.preprocessing_fn",
        splits_config=proto.SplitsConfig(analyze=[dag.TRAIN], transform=list(data.SPLITS)),
        custom_config={"sources": sources},  # for the cache alone
        disable_analyzer_cache=True,
        disable_statistics=True,  # they would hold every signal in memory; StatisticsGen has the side features
    )
    training = dag.train(options, transform.outputs["transformed_examples"])
    judged = dag.judge(options, examples, validation, training[-1])
    return dag.assemble(options, [ingest, *validation, schema, transform, *training, *judged])
