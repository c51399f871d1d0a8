"""Shares `pieces` out among the processes of pytest-xdist, and goes on where one of them dies."""

from tests.pieces import piece

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # tests run in one process without it
    LoadScopeScheduling = object


class Pieces(LoadScopeScheduling):
    """Pieces in the order of the tests.

    The scheduler below hands the test that killed a process out again, and pieces that are done with it, of which no
    process ever reports anything: a run that lost a process near its end never ended.
    """

    def _split_scope(self, nodeid):
        return piece(nodeid)

    def remove_node(self, node):
        """Takes a process away; returns the test that it died of, if it left any."""
        left = {name: tests for name, tests in self.assigned_work.pop(node).items() if not all(tests.values())}
        if not left:
            return None
        first = next(iter(left.values()))
        crashed = next(test for test, done in first.items() if not done)
        first[crashed] = True
        self.workqueue.update({name: tests for name, tests in left.items() if not all(tests.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node):
        """A process runs a test when it knows the next one: one piece of one test would wait for ever."""
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 2:
            super()._reschedule(node)
