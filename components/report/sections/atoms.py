"""What the report shows of a dictionary: its atoms as pictures, and pictures of the test split as they come back."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.report.markup import counted, number, template
from components.report.section import Run, Section
from components.serving.served_dictionary import ServedDictionary
from models.publishing import pushed
from models.records import pictures as picture_records

_TILE = 40  # pixels of the page, about, for the side of an atom
_SHOWN = 128  # atoms
_SIDE = 192  # pixels of the page, about, for the side of a picture
_HTML = """\
<section><h2>Atoms</h2>
{% if sheet %}<figure><img src="{{ sheet }}" alt="atoms of the dictionary" style="image-rendering:pixelated"></figure>
<p class="caption">{{ shown }}, each scaled to its largest number, those first that {{ pictures }} of the test split weigh most. {{ unused }} used by none of them.</p>
<h3>Pictures of the test split</h3>
{% for p in rows %}<div class="row"><figure><img src="{{ p.original }}" alt="{{ p.key }}" style="image-rendering:pixelated"><figcaption><b>original</b><br>{{ p.key }}</figcaption></figure>
<figure><img src="{{ p.decoded }}" alt="{{ p.key }}, decoded" style="image-rendering:pixelated"><figcaption><b>decoded</b><br>{{ p.psnr }} dB, {{ p.nonzeros }} atoms a patch</figcaption></figure></div>{% endfor %}
<p class="caption">Originals are shown as they are coded: the central square, resized. The atoms of a patch are at most as many as the model allows.</p>
{% else %}<p class="missing">The dictionary could not be drawn.</p>{% endif %}</section>
"""  # noqa: E501


class Atoms(Section):
    """Measured on the first pictures of the test split."""

    what = "atoms"
    training_about = (
        "Half the squared distance of a patch to what codes it. Training patches are of random places and coded by "
        "pairwise pursuit; the first atoms come of a greedy factorisation, before the first step."
    )
    evaluation_about = "Means over the test split, by the signature that codes. The error is squared, over the squares."

    def measure(self, run: Run) -> dict[str, Any]:
        """ "sheet": of the atoms; "used": weight of each atom; "rows": pictures. Pictures are URIs."""
        _, config, model = pushed.load(run.model_dir)
        served, rows, used = ServedDictionary(run.model_dir), [], np.zeros(config.atoms)
        for record in picture_records.records(run.files).take(run.count):
            features = picture_records.parse(record)
            encoded = features[picture_records.ENCODED].numpy()
            coded = served.ask("encode", image_bytes=encoded)
            decoded = served.ask("decode", weights=coded["weights"])["picture_bytes"]
            used += coded["weights"].sum(0)
            rows.append({
                "key": features[picture_records.ID].numpy().decode("utf-8", "replace"),
                "original": _uri(_original(encoded, config), _SIDE),
                "decoded": _uri(np.array(Image.open(io.BytesIO(decoded))), _SIDE),
                "psnr_db": float(coded["psnr_db"]), "nonzeros": float(coded["nonzeros"]),
            })  # fmt: skip
        order = np.argsort(-used, kind="stable")[:_SHOWN]
        tiles = np.array(model.atoms)[order].reshape(-1, config.patch, config.patch, config.channels)
        return {"sheet": _uri(sheet(tiles), _TILE * 16), "used": used.tolist(), "rows": rows}

    def render(self, measured: Mapping[str, Any] | None, data: Mapping[str, Any]) -> str:
        """The sheet of atoms, and the pictures."""
        del data
        found = measured or {"sheet": "", "used": (), "rows": ()}
        total, unused = len(found["used"]), sum(not used for used in found["used"])
        rows = [row | {"psnr": number(row["psnr_db"]), "nonzeros": number(row["nonzeros"], 3)} for row in found["rows"]]
        return template(_HTML).render(
            sheet=found["sheet"], rows=rows[:4], pictures=counted(len(rows), "picture"),
            shown=counted(total, "atom") if total <= _SHOWN else f"{_SHOWN} of {counted(total, 'atom')}",
            unused=f"{counted(unused, 'atom')} {'is' if unused == 1 else 'are'}",
        )  # fmt: skip


SECTION = Atoms()


def sheet(tiles: np.ndarray, columns: int = 16) -> np.ndarray:
    """Atoms [K, P, P, C] side by side with a pixel between, uint8 [H, W, C]; negative numbers are black."""
    count, side, _, channels = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    scaled = np.maximum(tiles, 0) / np.maximum(np.abs(tiles).max(axis=(1, 2, 3), keepdims=True), 1e-9)
    drawn = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1, channels), 128, "uint8")
    for n, tile in enumerate(scaled):
        top, left = n // columns * (side + 1), n % columns * (side + 1)
        drawn[top : top + side, left : left + side] = np.rint(255 * tile)
    return drawn


def _original(encoded: bytes, config) -> np.ndarray:
    from models.pursuit.inputs import prepare

    return prepare(encoded, config).numpy()


def _uri(pixels: np.ndarray, side: int) -> str:
    """uint8 [H, W], [H, W, 1] or [H, W, 3], enlarged to about `side` pixels' width, as a URI."""
    pixels = pixels.squeeze(-1) if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    factor = max(1, side // pixels.shape[1])
    file = io.BytesIO()
    Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def vectors(files: Sequence[str], config, count: int) -> np.ndarray:
    """The first patches of record files, float64 [at most `count`, d]."""
    from models.pursuit.inputs import inputs

    batches = inputs(files, config, False).take(-(-count // config.batch_size))
    return np.concatenate(list(batches.as_numpy_iterator()))[:count].astype("float64")
