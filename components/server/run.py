"""Runs a server: both interfaces, a watch on the folders of the models, and an orderly end."""

import asyncio
import contextlib
import pathlib
import signal
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from components import process_memory
from components.server import grpc_services, rest
from components.server.fair_queue import FairQueue
from components.server.models import Models
from components.server.service import Limits, Service
from models.contract.errors import KompaktError

_END_S = 30.0  # that what waits and is at work may take when the server ends


class ServerError(KompaktError, RuntimeError):
    """A server that cannot start; the message is one line."""


class Setting(NamedTuple):
    """How a server runs.

    Attributes:
      host: address that it listens at. rest_port, grpc_port: 0 for any that is free.
      workers: requests at work at a time. queue: requests that may wait.
      keep: versions of a model that are served. poll_s: seconds between two looks at the folders.
    """

    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    workers: int = 1
    queue: int = 64
    keep: int = 2
    poll_s: float = 1.0
    limits: Limits = Limits()


def run(places: Mapping[str, pathlib.Path], setting: Setting, tell: Callable[[str], None]) -> None:
    """Serves models until the process is told to end (SIGTERM, SIGINT).

    Args:
      places: name -> a folder of versions, or a single version. tell: called with a line when something changes.

    Raises:
      ServerError: no model can be loaded, or a port is taken.
    """
    process_memory.be_frugal()
    models = Models(places, setting.keep, tell)
    models.refresh()
    for name in places:
        if failed := [state.error for state in models.states(name).values() if state.error]:
            if not any(state.name == "AVAILABLE" for state in models.states(name).values()):
                raise ServerError(f"{name}: cannot be served: {failed[0]}")
        elif not models.states(name):
            raise ServerError(f"{places[name]}: holds no model")
    service = Service(models, FairQueue(setting.workers, setting.queue), setting.limits)
    asyncio.run(_serve(service, setting, tell))


async def _serve(service: Service, setting: Setting, tell: Callable[[str], None]) -> None:
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    over_rest, over_grpc = rest.server(service), grpc_services.server(service)
    ports = _listen(over_rest, over_grpc, setting)
    over_grpc.start()
    watching = threading.Event()
    watch = threading.Thread(target=_watch, args=(service.models, setting.poll_s, watching, tell), daemon=True)
    watch.start()
    tell(f"ready: http://{setting.host}:{ports[0]} (REST, and a page for people), grpc://{setting.host}:{ports[1]}")
    await end.wait()
    tell("ending: what was asked is answered")
    over_rest.stop()
    stopped = over_grpc.stop(_END_S)
    watching.set()
    await loop.run_in_executor(None, service.queue.close, _END_S)
    await loop.run_in_executor(None, stopped.wait, _END_S)
    with contextlib.suppress(asyncio.TimeoutError):  # answers that are still on their way
        await asyncio.wait_for(over_rest.close_all_connections(), 1.0)


def _listen(over_rest, over_grpc, setting: Setting) -> tuple[int, int]:
    """The ports. Raises ServerError."""
    import tornado.netutil

    try:
        sockets = tornado.netutil.bind_sockets(setting.rest_port, setting.host)
        over_rest.add_sockets(sockets)
    except OSError as error:
        raise ServerError(f"port {setting.rest_port} of {setting.host}: {error.strerror}") from error
    try:
        port = over_grpc.add_insecure_port(f"{setting.host}:{setting.grpc_port}")
    except RuntimeError as error:
        raise ServerError(f"port {setting.grpc_port} of {setting.host}: cannot be listened at") from error
    return sockets[0].getsockname()[1], port


def _watch(models: Models, poll_s: float, end: threading.Event, tell: Callable[[str], None]) -> None:
    while not end.wait(poll_s):
        try:
            models.refresh()
        except Exception as error:  # the server goes on with what it has
            tell(f"the folders of the models cannot be read: {error}")
