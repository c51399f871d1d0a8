"""The drawing of the steps."""

import xml.etree.ElementTree as xml

import pytest

from components.report import dag

UPSTREAM = {
    "Ingest": [],
    "Baseline": [],
    "Trainer": ["Ingest"],
    "Evaluator": ["Ingest", "Trainer", "Baseline"],
    "Pusher": ["Evaluator", "Trainer"],
    "Report": ["Ingest", "Trainer", "Evaluator", "Pusher", "NotInThisRun"],
}
STEPS = [
    {"name": name, "seconds": 2.0 * i, "state": "cached" if name == "Ingest" else "done", "upstream": upstream}
    for i, (name, upstream) in enumerate(UPSTREAM.items())
]


def test_only_edges_that_no_longer_way_implies_are_kept():
    assert dag.reduce(UPSTREAM) == {
        "Ingest": [], "Baseline": [], "Trainer": ["Ingest"], "Evaluator": ["Trainer", "Baseline"],
        "Pusher": ["Evaluator"], "Report": ["Pusher"],
    }  # fmt: skip


def test_a_step_stands_right_of_all_it_waits_for():
    column = dag.layers(dag.reduce(UPSTREAM))
    assert column == {"Ingest": 0, "Baseline": 0, "Trainer": 1, "Evaluator": 2, "Pusher": 3, "Report": 4}


def test_boxes_do_not_overlap_and_tell_time_and_state():
    root = xml.fromstring(dag.draw(STEPS))
    boxes = [group for group in root.iter("g") if "box" in group.get("class")]
    corners = {(b.find("rect").get("x"), b.find("rect").get("y")) for b in boxes}
    assert len(boxes) == len(corners) == len(STEPS)
    texts = [" ".join(t.text or "" for t in b.iter("text")) for b in boxes]
    assert texts[0] == "Ingest 0.0 s, from cache" and texts[2] == "Trainer 4.0 s"
    assert len([p for p in root.iter("path") if p.get("class") == "arrow"]) == 5


def test_names_cannot_break_the_page():
    assert "<script>" not in dag.draw([{"name": "<script>", "seconds": None, "state": "done", "upstream": []}])


def test_no_steps_no_drawing():
    assert dag.draw([]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (185, "3 min 05 s"), (7810, "2 h 10 min")],
)
def test_seconds_as_people_say_them(seconds, text):
    assert dag.seconds_text(seconds) == text
