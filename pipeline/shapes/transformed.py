"""The pipeline of models of electrocardiograms: the plain one, trained on what Transform makes of the recordings.

TfdsExampleGen -> StatisticsGen -> SchemaGen -> ExampleValidator
              \\-> Transform (with RecordSchema) -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`

The served model takes ingest records as they are, so evaluation, serving check and report stay on those.
"""

from tfx.v1 import components as tfx_components
from tfx.v1 import dsl, proto

from components import artifacts
from components.kinds.recordings import transform as ecg_transform
from models.records import pictures as picture_records
from pipeline.shapes import line


def create_pipeline(options: line.Options) -> dsl.Pipeline:
    """The DAG of a recipe whose records are transformed before training."""
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    sources = artifacts.source_digest(*ecg_transform.SOURCES)
    schema = ecg_transform.RecordSchema(sources=sources)
    transform = tfx_components.Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.kinds.recordings.transform.preprocessing_fn",
        splits_config=proto.SplitsConfig(analyze=[line.TRAIN], transform=list(picture_records.SPLITS)),
        custom_config={"sources": sources},  # for the cache alone
        disable_analyzer_cache=True,
        disable_statistics=True,  # they would hold every signal in memory; StatisticsGen has the side features
    )
    training = line.tuned(options, transform.outputs["transformed_examples"])
    judged = line.judge(options, examples, validation, training[-1])
    return line.assemble(options, [ingest, *validation, schema, transform, *training, *judged])
