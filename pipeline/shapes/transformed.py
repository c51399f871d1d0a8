"""The pipeline of models of electrocardiograms: the plain one, trained on what Transform makes of the recordings.

TfdsExampleGen -> StatisticsGen -> SchemaGen -> ExampleValidator
              \\-> Transform (with RecordSchema) -> [Tuner ->] Trainer -> as in `pipeline.shapes.line`

The served model takes ingest records as they are, so evaluation, serving check and report stay on those.
"""

import dataclasses

from tfx import components as tfx_components
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2

from components.kinds.recordings.transform import RecordSchema
from models.records import pictures as picture_records
from pipeline.shapes import line

TRANSFORM_FN = "components.kinds.recordings.transform.preprocessing_fn"


def create_pipeline(options: line.Options) -> Pipeline:
    """The DAG of a recipe whose records are transformed before training."""
    options = dataclasses.replace(options, records_by=(*options.records_by, TRANSFORM_FN.rpartition(".")[0]))
    ingest = line.ingest_of(options)
    examples = ingest.outputs["examples"]
    validation = line.validate(examples, options.recipe)
    schema = RecordSchema()
    transform = tfx_components.Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn=TRANSFORM_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=[line.TRAIN], transform=list(picture_records.SPLITS)),
        disable_analyzer_cache=True,
        disable_statistics=True,  # they would hold every signal in memory; StatisticsGen has the side features
    )
    training = line.tuned(options, transform.outputs["transformed_examples"])
    judged = line.judge(options, examples, validation, training[-1])
    return line.assemble(options, [ingest, *validation, schema, transform, *training, *judged])
