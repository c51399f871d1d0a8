"""An engine of Beam in processes of its own: a job service, and a pool that starts a process for each worker.

Both are Beam's, but that Beam 2.64's service gives a job one worker whatever `--sdk_worker_parallelism` says; the one
here gives as many (`python -m tests.components.portable_beam`, with the options of Beam's own).
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]


class Engine(NamedTuple):
    """What is to be given to Beam, and the process whose children are the workers."""

    args: list[str]
    pool: int

    def workers(self) -> dict[int, float]:
        """The processes that the pool started, also those that ended: seconds of processor by process."""
        threads = pathlib.Path(f"/proc/{self.pool}/task").iterdir()
        pids = {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
        return {pid: _seconds(pid) for pid in sorted(pids)}


def _seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def arguments(service: int, pool: int, workers: int = 1) -> list[str]:
    """Beam's arguments for a job service and a pool of workers at these ports of this machine."""
    return [
        "--runner=PortableRunner", f"--job_endpoint=localhost:{service}", "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}", f"--sdk_worker_parallelism={workers}", "--sdk_container_image=none",
        "--job_server_timeout=3600",
    ]  # fmt: skip


@contextlib.contextmanager
def engine(folder: pathlib.Path, workers: int = 2) -> Iterator[Engine]:
    """Starts job service and pool, with their logs in a folder, and ends them with all of their workers."""
    folder.mkdir(parents=True)
    python = folder / "python"  # the pool starts its workers by this name
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    service, pool = free_port(), free_port()
    commands = {
        "service": ["tests.components.portable_beam", f"--port={service}"],
        "pool": ["apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
    }
    with contextlib.ExitStack() as stack:
        started = {}
        for name, command in commands.items():
            log = stack.enter_context(open(folder / f"{name}.log", "w"))
            started[name] = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            stack.callback(_end, started[name])
        for name, port in (("service", service), ("pool", pool)):
            _wait(port, started[name], folder / f"{name}.log")
        yield Engine(arguments(service, pool, workers), started["pool"].pid)


def _wait(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"nobody listens at {port}: {log.read_text()[-2000:]}")


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    """Beam's job service, which also gives a job its workers."""
    from apache_beam.options.pipeline_options import PortableOptions
    from apache_beam.portability.api import beam_job_api_pb2
    from apache_beam.runners.portability import local_job_service, local_job_service_main
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    class Job(local_job_service.BeamJob):
        """A job with as many workers as its options say."""

        def _invoke_runner(self):
            self.set_state(beam_job_api_pb2.JobState.RUNNING)
            options = self.pipeline_options()
            runner = fn_runner.FnApiRunner(provision_info=self._provision_info)
            runner._num_workers = int(options.view_as(PortableOptions).sdk_worker_parallelism)
            return runner.run_via_runner_api(self._pipeline_proto, options)

    local_job_service.BeamJob = Job
    local_job_service_main.run(sys.argv[1:])


if __name__ == "__main__":
    main()
