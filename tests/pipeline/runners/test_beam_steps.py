"""Steps on a Beam engine of its own: what is given to it, and the one line where it is missing or a job fails."""

import re
from concurrent import futures

import grpc
import pytest

from pipeline import cli
from pipeline.runners import beam_steps
from tests.components.portable_beam import arguments, engine, free_port
from tests.pipeline.runners.tiny_runs import class_folders

FAILED = """Pipeline job-1 failed in state FAILED: Traceback (most recent call last):
  File "local_job_service.py", line 294, in _run_job
    self.result = self._invoke_runner()
RuntimeError: Error received from SDK harness for instruction bundle_5: Traceback (most recent call last):
  File "beam.py", line 48, in process
OSError: [Errno 28] No space left on device: 'data' [while running 'Folder/Read']

"""


@pytest.mark.parametrize(
    ("args", "endpoint"),
    [
        (["--runner=PortableRunner", "--job_endpoint=there:8099"], "there:8099"),
        (["--runner=FlinkRunner", "--job_endpoint=there:8099"], "there:8099"),
        (["--runner=FlinkRunner"], ""),
        (["--runner=PortableRunner", "--job_endpoint=embed"], ""),
        (["--direct_num_workers=2", "--job_endpoint=there:8099"], ""),
        (["--runner=DirectRunner"], ""),
        ([], ""),
    ],
)
def test_a_job_server_is_one_that_beam_would_ask(args, endpoint):
    assert beam_steps.job_server(args) == endpoint


def test_a_portable_runner_without_a_server_says_which_argument_is_missing():
    with pytest.raises(beam_steps.BeamError, match="--beam-arg=--job_endpoint=HOST:PORT") as caught:
        beam_steps.job_server(["--runner=PortableRunner"])
    assert caught.value.status == 2


def test_a_job_may_take_longer_than_beam_waits_for_its_server():
    (given,) = beam_steps.patience(arguments(1, 2)[:2])
    assert int(given.removeprefix("--job_server_timeout=")) > 24 * 3600
    assert not beam_steps.patience(["--job_server_timeout=5"]) and not beam_steps.patience(["--job-server-timeout=5"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (FAILED, "OSError: [Errno 28] No space left on device: 'data' [while running 'Folder/Read']"),
        ('<_Rendezvous of RPC that terminated with:\n\tstatus = X\n\tdetails = "Too late"\n>', "Too late"),
        ("Pipeline job-1 failed in state FAILED: unknown", "Pipeline job-1 failed in state FAILED: unknown"),
        ("", "no message"),
    ],
)
def test_of_a_failed_job_the_line_that_says_why(text, line):
    assert beam_steps.reason(text) == line


def test_what_is_no_job_server_is_told_at_once():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        with pytest.raises(beam_steps.BeamError, match="Method not found"):
            beam_steps.must_answer(f"localhost:{port}")
    finally:
        server.stop(0)


def _failure(folder, args, capfd) -> tuple[int, str]:
    """Exit code and the line of a run on a folder of pictures that fails with these arguments of Beam."""
    class_folders(folder / "in")
    given = [f"--beam-arg={arg}" for arg in args]
    status = cli.main(["run", "small_cnn", "--data", str(folder / "in"), "--out", str(folder / "out"), *given])
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out
    (line,) = [line for line in (printed.out + printed.err).splitlines() if line.startswith("error: ")]
    return status, line


@pytest.mark.slow
def test_a_missing_server_is_one_line_and_the_input_at_fault(tmp_path, capfd):
    port = free_port()
    status, line = _failure(tmp_path, arguments(port, free_port()), capfd)
    assert status == 2
    assert re.search(rf"TfdsExampleGen: no job server of Beam answers at localhost:{port} \(.*refused.*\); start", line)


@pytest.mark.slow
def test_a_job_without_workers_is_one_line(tmp_path, capfd):
    missing = f"--environment_config=localhost:{free_port()}"
    with engine(tmp_path / "engine") as found:
        status, line = _failure(tmp_path, [*found.args, missing], capfd)
    assert status == 1
    assert re.search(r"TfdsExampleGen: the job at localhost:\d+ failed: .*refused.* \(more in run.log\)$", line)
