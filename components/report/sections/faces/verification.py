"""What the report shows of a network for faces: scores, ROC, the worst pairs, and the model's card."""

import base64
import io
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from components.evaluation import verification as evaluation
from components.report import face_plots
from components.report.markup import counted, number, template
from components.report.section import Cards, Run, Section
from components.serving.served_faces import ServedFaces
from models.contract.errors import KompaktError
from models.faces import verification
from models.publishing import pushed
from models.records import pictures as picture_records

_BATCH, _BINS, _POINTS, _SIDE = 64, 80, 200, 96
_WORST, _LOOKED_AT = 4, 500  # pairs of a kind that are drawn, and among which a block of rows has its worst ones
_NAMES = {"eer": "equal error rate", "accuracy": "accuracy of the listed pairs", "rank1": "1:N rank 1"}
_HTML = """\
<section><h2>Verification</h2>
{% if m %}<div class="split"><figure>{{ scores|safe }}</figure><figure>{{ roc|safe }}</figure></div>
<p class="caption">All {{ m.genuine }} pairs of one person and {{ m.impostors }} of two in the test split, of whom the model has seen nobody. The dot is the threshold of <b>verify</b>, {{ decision }}.</p>
<table class="narrow"><thead><tr><th>figure<th class="n">value<th class="n">95 % interval</thead>
<tbody>{% for name, value, interval in rows %}<tr><td>{{ name }}<td class="n">{{ value }}<td class="n">{{ interval }}{% endfor %}</tbody></table>
<p class="caption">Intervals: {{ draws }} draws of persons, with replacement. {{ about_pairs }}{% if few %} {{ few }}{% endif %}</p>
{% if wrong %}<h3>The pairs it gets most wrong</h3>
<div class="row">{% for p in wrong %}<figure><img src="{{ p.pictures[0] }}" alt="{{ p.first }}"> <img src="{{ p.pictures[1] }}" alt="{{ p.second }}"><figcaption><b>{{ "one person" if p.same else "two persons" }}, cosine {{ p.cosine }}</b><br>{{ p.first }}<br>{{ p.second }}</figcaption></figure>{% endfor %}</div>{% endif %}
{% else %}<p class="missing">No pair could be verified in this run.</p>{% endif %}</section>
<section><h2>Model card</h2>
<table class="narrow"><tbody>{% for name, told in card %}<tr><th>{{ name }}<td>{{ told }}{% endfor %}</tbody></table></section>
"""  # noqa: E501
_NOT_FOR = (
    "Decisions about people without a person who checks them; finding or watching people who have not agreed to it; "
    "telling age, sex, origin, feelings or anything else but whether two pictures show one person. Error rates differ "
    "between groups of people, and these figures hold for people as those of the test split alone."
)


class FaceError(KompaktError, ValueError):
    """Records that tell nothing of a network for faces; the message is one line."""


class Verification(Section):
    """Measured on all of the test split."""

    what = "verification"
    training_about = (
        "The validation's persons are none of the training's. Its loss is that of neighbours within a batch, its eer "
        "the equal error rate of the pairs within batches."
    )
    evaluation_about = (
        "Over the test split, from the exported model, of persons that were not trained on. What has no figure has too "
        "few pairs."
    )

    def measure(self, run: Run) -> dict[str, Any]:
        """As of the function `measure`."""
        return measure(run.model_dir, run.files)

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """Histograms and ROC, the figures with their intervals, the worst pairs, the card."""
        found, ingest = measured, data.get("ingest") or {}
        if not found:
            return template(_HTML).render(m=None, card=_card(ingest, data, None))
        least = verification.LEAST_ACCEPTED / max(1, found["impostors"])
        wrong = [pair | {"cosine": number(pair["cosine"], 3)} for pair in found["wrong"]]
        return template(_HTML).render(
            m=found, scores=face_plots.histograms(found["histogram"], found["decision"]["threshold"]),
            roc=face_plots.roc(found["roc"], found["decision"], least), decision=_decision(found["decision"]),
            rows=[(name, number(value), _interval(ends)) for name, value, ends in _rows(found)],
            draws=evaluation.DRAWS, about_pairs=_about_pairs(found, ingest.get("pairs") or {}), few=_few(found),
            wrong=wrong, card=_card(ingest, data, found["decision"], found["central"]),
        )  # fmt: skip

    def cards(self, measured: Mapping[str, Any] | None, values: Mapping[str, float], examples: int | None):
        """The figures with their intervals."""
        if not measured:
            return None
        shown = [row for row in _rows(measured) if row[1] is not None][:4]
        cards = [{"label": name, "value": number(value), "unit": "", "about": _interval(ends)}
                 for name, value, ends in shown]  # fmt: skip
        return Cards(cards, f"Over the test split ({counted(examples, 'face')})." if examples else "")

    def rows(self, measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        """The threshold of `verify` and what it does on the test split."""
        decision = (measured or {}).get("decision")
        if not decision:
            return []
        return [("threshold", f"{decision['threshold']:.4f} (FAR {number(decision['far'], 3)}, TAR "
                 f"{number(decision['tar'], 3)} on the test split)")]  # fmt: skip


SECTION = Verification()


def measure(model_dir: str, files: Sequence[str]) -> dict[str, Any]:
    """Figures and drawings' numbers of a served network on record files, fit for JSON (None where undefined).

    Returns:
      "figures": name -> [value, low, high]; "tar": text of a FAR -> the same; "genuine", "impostors", "probes",
      "gallery", "missing": counts; "by_fold": accuracies; "listed": number of listed pairs; "central": the share of a
      picture that is seen; "histogram" and "roc" as `face_plots` takes them; "decision": "threshold", "rate" and
      "pairs" as the model has them, "far" and "tar" on
      these records; "wrong": the worst pairs with "first", "second" (ids), "cosine", "same", "pictures" (two URIs).

    Raises:
      FaceError: no record shows a person. ServedModelError: no such model.
    """
    model = ServedFaces(model_dir)
    told = seen(model, files)
    faces, encoded = told.faces._replace(align=None), told.encoded
    found = evaluation.figures(faces, tuple(verification.RATES.values()))
    said = model.verify(encoded[0], encoded[0])
    decision = {"threshold": said.threshold, "rate": said.false_accept_rate, "pairs": said.impostor_pairs}
    return {
        "figures": {name: triple(found[name]) for name in _NAMES},
        "tar": {text: triple(found["tar"][far]) for text, far in verification.RATES.items()},
        **{name: found[name] for name in ("genuine", "impostors", "by_fold", "probes", "gallery")},
        "missing": faces.missing, "listed": len(faces.same), "central": _central(model.directory),
        **_drawn(faces),
        "decision": decision | {name: _number(v) for name, v in evaluation.decided(faces, said.threshold).items()},
        "wrong": _wrong(faces, told.ids, encoded),
    }  # fmt: skip


class Seen(NamedTuple):
    """A set of faces as a served network sees it, in the order of their numbers.

    Attributes:
      faces: with the network's alignment, if it has one. ids, encoded: of the pictures.
      support: float32 [N, 4], and estimator: the place of the one that is served; of an aligned network.
    """

    faces: evaluation.Faces
    ids: list[bytes]
    encoded: list[bytes]
    support: np.ndarray | None = None
    estimator: int = 0


def seen(model: ServedFaces, files: Sequence[str]) -> Seen:
    """What a network says of the records of files that say whom they show. Raises as `measure`."""
    answers, ids, encoded = [], [], []
    for records in picture_records.records(files).batch(_BATCH):
        answer = model.evaluate(list(records.numpy()))
        known = answer["label"][:, 0] >= 0
        features = picture_records.parse(records)
        ids += list(features[picture_records.ID].numpy()[known])
        encoded += list(features[picture_records.ENCODED].numpy()[known])
        answers.append({name: value[known] for name, value in answer.items()})
    if not ids:
        raise FaceError("no record of the test split says whom it shows")
    columns = {name: np.concatenate([a[name] for a in answers]) for name in answers[0] if name != "pairs"}
    numbers, pairs = columns["number"][:, 0], [p for a in answers for p in a["pairs"]]
    aligned = [columns[name] for name in ("support", "alignment") if name in columns]
    faces = evaluation.faces_of(columns["embedding"], columns["label"][:, 0], numbers, pairs, *aligned)
    order = np.argsort(numbers, kind="stable")
    more = [aligned[0][order], int(aligned[1][0, 3])] if aligned else []
    return Seen(faces, [ids[n] for n in order], [encoded[n] for n in order], *more)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def triple(figure: evaluation.Figure) -> list[float | None]:
    """A figure and the ends of its interval, None where undefined."""
    return [_number(value) for value in figure[:3]]


def _drawn(faces: evaluation.Faces) -> dict[str, Any]:
    """The histograms, and at most _POINTS of the ROC."""
    pairs = verification.all_pairs(faces.embeddings, faces.persons)
    edges = np.linspace(-1, 1, _BINS + 1)
    counts = {name: np.histogram(np.clip(pairs.scores[kind], -1, 1), edges)[0].tolist()
              for name, kind in (("genuine", pairs.same), ("impostors", ~pairs.same))}  # fmt: skip
    curve = verification.curve(pairs.scores, pairs.same)
    wanted = np.concatenate([[0.0], np.geomspace(1e-6, 1, _POINTS)])
    places = np.unique(np.maximum(0, np.searchsorted(curve.far, wanted, side="right") - 1))
    usable = not (np.isnan(curve.far[-1]) or np.isnan(curve.tar[-1]))
    roc = {name: getattr(curve, name)[places].tolist() if usable else [] for name in ("far", "tar")}
    return {"histogram": {"edges": edges.tolist()} | counts, "roc": roc}


def _wrong(faces: evaluation.Faces, ids: Sequence[bytes], encoded: Sequence[bytes]) -> list[dict[str, Any]]:
    """Of each kind the _WORST pairs, a person in one alone."""
    found = []
    for genuine in (True, False):
        seen: set[int] = set()
        for cosine, *pair in _worst(faces, genuine):
            persons = {int(faces.persons[place]) for place in pair}
            if seen & persons:
                continue
            seen |= persons
            found.append({
                "first": ids[pair[0]].decode("utf-8", "replace"), "second": ids[pair[1]].decode("utf-8", "replace"),
                "cosine": cosine, "same": genuine, "pictures": [_uri(encoded[place]) for place in pair],
            })  # fmt: skip
            if sum(pair["same"] == genuine for pair in found) == _WORST:
                break
    return found


def _worst(faces: evaluation.Faces, genuine: bool) -> list[tuple[float, int, int]]:
    """(cosine, place, place) of the pairs of a kind, worst first; of many the worst of each block of rows."""
    kept: list[tuple[float, int, int]] = []
    for start, rows, columns in verification.upper(len(faces.persons)):
        kind = (faces.persons[rows] == faces.persons[columns]) == genuine
        rows, columns = rows[kind], columns[kind]
        cosines = (faces.embeddings[start : start + verification.ROWS] @ faces.embeddings.T)[rows - start, columns]
        order = np.argsort(cosines * (1 if genuine else -1), kind="stable")[:_LOOKED_AT]
        kept += zip(cosines[order].tolist(), rows[order].tolist(), columns[order].tolist(), strict=True)
    return sorted(kept, key=lambda pair: pair[0] if genuine else -pair[0])


def _uri(encoded: bytes) -> str:
    """A small copy of a picture as a URI."""
    image = Image.fromarray(picture_records.decode(encoded).numpy())
    image.thumbnail((_SIDE, _SIDE))
    scale = max(1, _SIDE // max(image.size))
    file = io.BytesIO()
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _rows(found: Mapping[str, Any]) -> list[tuple[str, float | None, list]]:
    named = [(_NAMES[name], *_split(found["figures"][name])) for name in _NAMES]
    return named[:2] + [(f"TAR at FAR {far}", *_split(t)) for far, t in found["tar"].items()] + named[2:]


def _split(triple: Sequence[float | None]) -> tuple[float | None, list]:
    return triple[0], list(triple[1:])


def _interval(ends: Sequence[float | None]) -> str:
    return "" if None in ends else f"{number(ends[0], 3)} to {number(ends[1], 3)}"


def _few(found: Mapping[str, Any]) -> str:
    """Which rates have too few pairs."""
    missing = [far for far, triple in found["tar"].items() if triple[0] is None]
    if not missing:
        return ""
    return (
        f"{found['impostors']:,} pairs of two persons are too few for a TAR at FAR {' and '.join(missing)}: at least "
        f"{verification.LEAST_ACCEPTED} of them should be accepted."
    )


def _about_pairs(found: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    where = {"drawn": "drawn at ingest", None: "listed"}.get(told.get("from"), f"of {told.get('from')}")
    lost = [f"{told['left_out']} of the table are of other splits"] if told.get("left_out") else []
    lost += [f"{found['missing']} name a picture that could not be read"] if found["missing"] else []
    folds = f"{len(found['by_fold'])} folds, each judged at the threshold that is best on the others"
    text = f"The accuracy is of {found['listed']} pairs {where}, in {folds}"
    search = f"1:N: {found['probes']} probes in a gallery of {found['gallery']} persons, one picture each."
    return f"{text}{'; ' + '; '.join(lost) if lost else ''}. {search}"


def _decision(decision: Mapping[str, Any]) -> str:
    threshold, far = number(decision["threshold"]), number(decision["far"], 3)
    return (
        f"{threshold}: chosen on {decision['pairs']:,} impostor pairs of the validation, of which it accepts "
        f"{decision['rate']:.2%}; of those of the test split it accepts the share {far}"
    )


def _central(directory: pathlib.Path) -> float:
    """The share of a picture that a pushed network sees; an alignment says it of the network that it was made of."""
    config = pushed.describe(str(directory))["config"]
    return float((json.loads(config["network"])["config"] if "network" in config else config).get("central", 1.0))


def _card(
    ingest: Mapping[str, Any], data: Mapping[str, Any], decision: Mapping[str, Any] | None, central: float = 1.0
) -> list[tuple[str, str]]:
    """(name, what is said) of the model's card."""
    persons = ingest.get("persons") or {}
    pictures = {name: split.get(data.get("noun", "faces")) for name, split in (ingest.get("splits") or {}).items()}
    where = ingest.get("folder") or ingest.get("dataset") or "unknown"
    simulated = " Simulated drawings: the model is of no use on photographs." if ingest.get("simulated") else ""
    split = ", ".join(f"{name}: {number(count)} of {number(pictures.get(name))}" for name, count in persons.items())
    options = {option["name"]: option["value"] for option in data.get("config") or ()}
    crop = options.get("central", central)
    card = [
        ("what it does", "A unit vector for a picture of one face; two pictures are compared by their cosine."),
        ("data", f"{where}.{simulated}"),
        ("persons, of pictures", f"{split or 'unknown'}. No person is in two splits."),
        ("crop", f"the central {crop:.1%} of the shorter side; faces are neither found nor turned upright"),
        ("meant for", "Research on embeddings and on their compression."),
        ("not for", _NOT_FOR),
        ("weights", "The licence of the pictures decides whether weights may be passed on; none are released here."),
    ]
    return card + ([("threshold of verify", _decision(decision))] if decision else [])
