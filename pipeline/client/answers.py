"""What a model of classes answers for many inputs: in batches, and without losing the others to a bad one."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown

_BATCH = 32
_SAMPLES = 600_000  # of a batch of signals with its padding: half an hour, which takes the largest models some 2 GB


class Answer(NamedTuple):
    """For the input `key` the likeliest classes, (name, probability) each, or the error that it met."""

    key: Any
    best: list[tuple[str, float]]
    error: Exception | None = None


def answers(inputs: Iterable[tuple[Any, Callable]], predictor, count: int, parallel: int = 1) -> Iterator[Answer]:
    """Answers for inputs of any number, in their order; no more than a batch (of each thread) is held.

    Args:
      inputs: pairs of a key and a function that reads the input: bytes, or a signal, float32 [T].
      predictor: its `best(batch, count)` gives the likeliest classes of each.
      count: classes of an answer. parallel: batches at a time, by threads.

    Raises:
      UserError: a server does not answer.
    """
    if parallel == 1:
        for batch in _batches(inputs):
            yield from _of_batch(batch, predictor, count)
        return
    pool = futures.ThreadPoolExecutor(parallel)
    waiting: collections.deque[futures.Future] = collections.deque()
    try:
        for batch in _batches(inputs):
            waiting.append(pool.submit(lambda batch=batch: list(_of_batch(batch, predictor, count))))
            if len(waiting) > parallel:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(inputs: Iterable[tuple[Any, Callable]]) -> Iterator[list[tuple[Any, Any]]]:
    """What the inputs are, (key, item), in batches; what cannot be read is one of its own, with its error."""
    batch: list[tuple] = []
    for key, read in inputs:
        try:
            item = read()
        except (OSError, ValueError) as error:
            yield [(key, error)]
            continue
        if batch and not _fits([kept for _, kept in batch], item):
            yield batch
            batch = []
        batch.append((key, item))
    if batch:
        yield batch


def _fits(batch: list, item) -> bool:
    longest = 0 if isinstance(item, bytes) else max(map(len, (*batch, item)))
    return len(batch) < _BATCH and (len(batch) + 1) * longest <= _SAMPLES


def _of_batch(batch: list[tuple], predictor, count: int) -> Iterator[Answer]:
    """Answers for (key, item) pairs; if the model refuses them together, it is asked for each."""
    from pipeline.client.remote import Refused, RemoteError

    if isinstance(batch[0][1], Exception):
        yield Answer(batch[0][0], [], batch[0][1])
        return
    try:
        found = predictor.best([item for _, item in batch], count)
    except ValueError as error:
        if isinstance(error, RemoteError) and not isinstance(error, Refused):
            raise UserError(str(error), error.status) from error
        if len(batch) == 1:
            yield Answer(batch[0][0], [], error)
            return
        for pair in batch:
            yield from _of_batch([pair], predictor, count)
        return
    for (key, _), best in zip(batch, found, strict=True):
        yield Answer(key, best)


def show(answered: Iterable[Answer]) -> bool:
    """Prints a line for each answer, errors on the error output; returns whether there was no error."""
    whole = True
    for answer in answered:
        if answer.error is None:
            click.echo(line(answer.key, answer.best))
        else:
            whole = False
            tell(answer.key, answer.error)
    return whole


def line(key: Any, numbers: Iterable[tuple[str, float]]) -> str:
    """A path (or several fields) and names with their numbers, with tabs between."""
    fields = key if isinstance(key, tuple) else (key,)
    return "\t".join([*(shown(str(field)) for field in fields), *(f"{name}\t{number:.4f}" for name, number in numbers)])


def tell(key: Any, error: Exception) -> None:
    """Prints one line on the error output."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    name = os.fspath(key) if isinstance(key, os.PathLike) else " ".join(map(str, key))
    click.echo(f"error: {shown(name)}: {shown(reason.removeprefix(f'{os.path.basename(name)}: '))}", err=True)
