"""Steps of Beam on an engine of its own: its job server is asked before a step, and what fails there is one line."""

import re
from collections.abc import Sequence

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from tfx.orchestration.portable import beam_executor_operator
from tfx.proto.orchestration import placeholder_pb2

from models.contract.errors import KompaktError

_ANSWER_SECONDS = 20
# Beam ends a job by this time too, after 60 s unless it is told; how long a step takes is the user's business.
_TIMEOUT = "--job_server_timeout"
_WEEK_SECONDS = 7 * 24 * 3600
# What a traceback or an error of gRPC ends with, wherever it stands in the text of a job's failure.
_NAMED = re.compile(r'^(?:\w+\.)*(\w*(?:Error|Exception)\b.*)$|^\s*details = "(.*)"$', re.MULTILINE)


class BeamError(KompaktError, RuntimeError):
    """A Beam engine that is not there (`status` 2) or on which a job failed (1); one line for the user."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Operator(beam_executor_operator.BeamExecutorOperator):
    """Runs a step of Beam as TFX does; with a job server in Beam's arguments, it is asked first and given time."""

    def run_executor(self, execution_info, make_beam_pipeline_fn=None):
        """Runs the step. Raises BeamError: the job server does not answer, or the job failed."""
        args = [arg.value.string_value for arg in self.beam_pipeline_args]
        endpoint = job_server(args)
        if not endpoint:
            return super().run_executor(execution_info, make_beam_pipeline_fn)
        must_answer(endpoint)
        for arg in patience(args):
            more = placeholder_pb2.PlaceholderExpression()
            more.value.string_value = arg
            self.beam_pipeline_args.append(more)
        try:
            return super().run_executor(execution_info, make_beam_pipeline_fn)
        except Exception as error:
            if isinstance(error, grpc.RpcError) or " failed in state " in str(error):
                raise BeamError(f"the job at {endpoint} failed: {reason(str(error))} (more in run.log)", 1) from error
            raise


def job_server(args: Sequence[str]) -> str:
    """HOST:PORT of the job server that Beam's arguments name; "" where none is asked, or Beam starts one itself.

    Raises:
      BeamError: PortableRunner is asked for without one.
    """
    options = PipelineOptions(list(args))
    runner = (options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower()
    endpoint = options.view_as(PortableOptions).job_endpoint or ""
    if runner == "portablerunner" and not endpoint:
        raise BeamError("--runner=PortableRunner wants a job server: --beam-arg=--job_endpoint=HOST:PORT", 2)
    return "" if endpoint == "embed" or runner in ("", "directrunner") else endpoint


def must_answer(endpoint: str, seconds: float = _ANSWER_SECONDS) -> None:
    """Raises BeamError unless a job server of Beam answers at HOST:PORT.

    Beam itself would wait for one as long as a job may take, and then not say what it waited for.
    """
    try:
        with grpc.insecure_channel(endpoint) as channel:
            request = beam_job_api_pb2.DescribePipelineOptionsRequest()
            beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(request, timeout=seconds)
    except grpc.RpcError as error:
        said = (error.details() or error.code().name).rpartition(": ")[2]  # the cause behind what led to it
        raise BeamError(
            f"no job server of Beam answers at {endpoint} ({said}); start it, or name it by "
            "--beam-arg=--job_endpoint=HOST:PORT", 2
        ) from None  # fmt: skip


def patience(args: Sequence[str]) -> list[str]:
    """What is added to Beam's arguments so that a job may take its time; nothing where the user says how long."""
    given = any(arg.replace("-", "_").startswith(_TIMEOUT.replace("-", "_")) for arg in args)
    return [] if given else [f"{_TIMEOUT}={_WEEK_SECONDS}"]


def reason(text: str) -> str:
    """The line of a failed job's text, with the tracebacks of its workers, that says why."""
    found = [first or second for first, second in _NAMED.findall(text)]
    return (found or [text.strip().partition("\n")[0] or "no message"])[-1].strip()
