"""Turns, bounds and ends of the queue before a server's models."""

import threading
import time

import pytest

from components.server.errors import RequestError
from components.server.fair_queue import FairQueue


@pytest.fixture
def held():
    """A queue of one worker, which is held until the event is set."""
    queue, gate, started = FairQueue(1, 6), threading.Event(), threading.Event()

    def hold():
        started.set()
        gate.wait(10)

    queue.submit("holder", hold)
    assert started.wait(5)
    yield queue, gate
    gate.set()
    queue.close(5)


def test_clients_have_turns_whatever_one_asks(held):
    queue, gate = held
    done = []
    for client, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        last = queue.submit(client, lambda name=name: done.append(name))
    gate.set()
    last.result(5)
    queue.close(5)
    assert done == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_beyond_the_bound_nobody_waits(held):
    queue, gate = held
    waiting = [queue.submit(n, lambda n=n: n) for n in range(6)]
    assert (queue.waiting, queue.working, queue.is_full) == (6, 1, True)
    with pytest.raises(RequestError, match="6 requests wait") as refused:
        queue.submit("late", lambda: None)
    assert (refused.value.code, refused.value.http) == ("RESOURCE_EXHAUSTED", 503)
    gate.set()
    assert [future.result(5) for future in waiting] == list(range(6))
    assert queue.submit("late", lambda: "served").result(5) == "served"


def test_who_has_gone_or_waited_too_long_is_not_served(held):
    queue, gate = held
    done = []
    gone = queue.submit("a", lambda: done.append("gone"))
    late = queue.submit("b", lambda: done.append("late"), time.monotonic() + 0.01)
    assert gone.cancel()
    time.sleep(0.05)
    gate.set()
    with pytest.raises(RequestError, match="waited longer") as error:
        late.result(5)
    assert error.value.http == 504 and not done


def test_as_many_are_at_work_as_there_are_workers():
    queue, most, now, lock = FairQueue(3, 50), [0], [0], threading.Lock()

    def work():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    for future in [queue.submit(n, work) for n in range(30)]:
        future.result(5)
    assert most == [3]
    queue.close(5)


def test_a_failure_is_the_asker_s_and_the_worker_lives(held):
    queue, gate = held
    failing = queue.submit("a", lambda: 1 / 0)
    gate.set()
    with pytest.raises(ZeroDivisionError):
        failing.result(5)
    assert queue.submit("a", lambda: 7).result(5) == 7
    queue.close(5)
    with pytest.raises(RequestError, match="ending") as refused:
        queue.submit("a", lambda: 7)
    assert refused.value.code == "UNAVAILABLE"
