"""Asking again: a server that restarts or is busy answers a little later."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import click

from pipeline.client.remote import Away

PATIENCE_S = 60.0  # for a server that is away or busy: it is asked again for so long
TIMEOUT_S = 300.0  # that one answer may take: a serial decoder needs minutes for a large picture
_FIRST_S, _LONGEST_S = 0.25, 8.0  # between two tries
_TOLD_AFTER_S = 5.0

Answer = TypeVar("Answer")


def again(ask: Callable[[float], Answer], patience_s: float, timeout_s: float) -> Answer:
    """The answer of the first try that finds the server.

    The pauses double, and each is drawn from its upper half, so that clients that were refused together do not come
    back together.

    Args:
      ask: given the seconds that are left in all; raises Away where another try may do.
      patience_s: no try begins later than this after the first one failed. timeout_s: of one answer; a request ends
        for certain when both are over.

    Raises:
      Away: nobody answered in time; the message is that of the last try.
    """
    begin = time.monotonic()
    pause, told = _FIRST_S, False
    while True:
        try:
            return ask(begin + patience_s + timeout_s - time.monotonic())
        except Away as error:
            wait = max(error.after_s, pause * random.uniform(0.5, 1.0))
            gone = time.monotonic() - begin
            if gone + wait > patience_s:
                raise
            if gone > _TOLD_AFTER_S and not told:
                told = True
                click.echo(f"{error}; asking again for {patience_s - gone:.0f} s", err=True)
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_S)
