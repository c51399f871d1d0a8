"""One HTML page about a user's own pictures, gathered while they are coded; it needs nothing from outside."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from components.evaluation import classic, rate_distortion
from components.report import plots
from components.report.markup import counted, number, template
from components.report.pictures import measured
from components.report.pictures.measured import Codec, Compared, File, Picture
from components.report.sections.rate_distortion import data_uri, rates

OWN = "this model"
_HERE = pathlib.Path(__file__).parent
_LIMITS = (
    f"Compared are the first {measured.MOST} pictures that are coded with loss, have no alpha and no side below "
    f"{measured.LEAST} pixels; of one with a side above {measured.PART:,} pixels its middle, as a picture of its own. "
    f"MS-SSIM is not measured above {measured.STRUCTURAL_PIXELS / 1e6:.1f} megapixels."
)


class PicturesPage:
    """Measures pictures as they are coded, and draws the page of those that were.

    Args:
      codec: of the command. title: of the page. about: a line below it.
    """

    def __init__(self, codec: Codec, title: str, about: str):
        self._codec, self._title, self._about = codec, title, about
        known = (*classic.CODECS, classic.AVIF)
        self._classics = [one for one in known if classic.is_available(one)]
        self._missing = [one.name for one in known if one not in self._classics]
        self.pictures: list[Picture] = []

    def add(self, key: str, channels: int, encoded: bytes, stream: bytes, encode_s: float) -> Picture:
        """Measures a coded picture; arguments, result and errors are those of `measured.measure`."""
        compared = sum(p.compared is not None for p in self.pictures)
        picture = measured.measure(self._codec, self._classics, key, channels, encoded, stream, encode_s, compared)
        self.pictures.append(picture)
        return picture

    def render(self, asked: int) -> str:
        """The page as text.

        Args:
          asked: how many pictures were to be coded; the page says so where some are missing.
        """
        done = len(self.pictures)
        compared = [p.compared for p in self.pictures if p.compared]
        missing = f"Not compared: {', '.join(self._missing)}; this Pillow has no encoder." if self._missing else ""
        return template((_HERE / "pictures.html").read_text(encoding="utf-8")).render(
            title=self._title, about=self._about, limits=_LIMITS, missing=missing,
            style=(_HERE.parent / "page.css").read_text(encoding="utf-8"),
            unfinished=f"{done} of {counted(asked, 'picture')} were coded; the others failed or were not reached."
            if done < asked else "",
            cards=_cards(self.pictures), crops=_crops(self.pictures), equal=_equal(compared),
            compared_count=counted(len(compared), "picture"),
            pictures=[_row(p) for p in self.pictures],
            each=[{"key": p.key if file is p.compared.own else "", "name": name, "values": _values(file)}
                  for p in self.pictures if p.compared for name, file in _files(p.compared).items()],
            **_curves(compared, {c.name: c.about for c in self._classics}),
        )  # fmt: skip


def _files(compared: Compared) -> dict[str, File]:
    return {OWN: compared.own, **compared.others}


def _values(file: File) -> list[str]:
    point = file.point
    return [f"{file.size_bytes:,}", f"{point.bpp:.4f}", f"{point.psnr_db:.2f}", f"{point.ms_ssim:.4f}"]


def _row(picture: Picture) -> dict[str, Any]:
    point = picture.point
    quality = ["exact", "1"] if picture.kept else [f"{point.psnr_db:.2f}", number(point.ms_ssim)]
    seconds = [f"{s:.2f}" for s in (picture.encode_s, picture.decode_s)]
    sides, size = f"{picture.width} × {picture.height}", f"{picture.size_bytes:,}"
    return {"key": picture.key, "kept": picture.kept, "about": picture.about,
            "values": [sides, size, f"{point.bpp:.4f}", *quality, *seconds]}  # fmt: skip


def _cards(pictures: Sequence[Picture]) -> list[dict[str, str]]:
    lossy = [p for p in pictures if not p.kept]
    kept = len(pictures) - len(lossy)
    pixels, size = (sum(values) for values in zip(*((p.height * p.width, p.size_bytes) for p in pictures), strict=True))
    cards = [
        {"label": "Pictures", "value": f"{len(pictures):,}", "unit": "",
         "about": f"{kept:,} kept without loss" if kept else "all with loss"},
        {"label": "All streams", "value": number(size / 1e3), "unit": "kB",
         "about": f"{8 * size / pixels:.3f} bits per pixel over all {pixels / 1e6:,.2f} megapixels"},
    ]  # fmt: skip
    if lossy:
        mean = sum(p.point.psnr_db for p in lossy) / len(lossy)
        cards.append({"label": "PSNR", "value": f"{mean:.2f}", "unit": "dB", "about": "mean of those with loss"})
    return cards


def _equal(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    rows = []
    for name in _files(compared[0]) if compared else ():
        files = [_files(one)[name] for one in compared]
        over = sum(file.size_bytes > one.own.size_bytes for file, one in zip(files, compared, strict=True))
        size = sum(file.size_bytes for file in files) / len(files)
        mean = rate_distortion.mean(file.point for file in files)
        about = f"{over} of {len(files)} need more bytes even at the lowest quality" if over else ""
        rows.append({"name": name, "about": about, "values": _values(File(round(size), mean, files[0].crop))})
    return rows


def _curves(compared: Sequence[Compared], about: dict[str, str]) -> dict[str, Any]:
    """The plot, and what it says: over those pictures of which all codecs have a curve, if there is one."""
    curved = [one for one in compared if one.own_curve] or compared
    if not curved:
        return {"plot": "", "rates": None, "own_curve": False, "curve_count": ""}
    curves = {name: measured.mean_curves([one.curves[name] for one in curved]) for name in about}
    own_curve = measured.mean_curves([one.own_curve for one in curved])
    drawn = {name: [dataclasses.asdict(p) for p in points] for name, points in curves.items()}
    mean = dataclasses.asdict(rate_distortion.mean(one.own.point for one in curved))
    learned = {OWN: [mean]}
    if own_curve:
        learned[f"{OWN}, its qualities"] = [dataclasses.asdict(p) for p in own_curve]
    told = rates({"mean": mean, "classic": drawn, "about": about})
    for row in told["rows"]:
        change = measured.bd_rate_percent(curves[row["name"]], own_curve) if row["name"] in curves else float("nan")
        row["bd"] = "" if row["name"] == OWN else "–" if change != change else f"{change:+.1f} %".replace("-", "−")
    fig, (ax,) = plots.axes((6.4, 4.3))
    plots.rate_distortion(ax, drawn, learned)
    return {"plot": plots.to_svg(fig, "rate-distortion"), "rates": told, "own_curve": bool(own_curve),
            "curve_count": counted(len(curved), "picture")}  # fmt: skip


def _crops(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Best, median and worst by PSNR, of three or more; else all."""
    order = sorted((p for p in pictures if p.compared), key=lambda p: -p.compared.own.point.psnr_db)
    ranks = dict(enumerate([""] * len(order)))
    if len(order) > 2:
        ranks = {0: "Best PSNR", len(order) // 2: "Median", len(order) - 1: "Worst PSNR"}
    return [{"rank": rank, "key": order[n].key, "columns": _columns(order[n].compared)} for n, rank in ranks.items()]


def _columns(compared: Compared) -> list[dict[str, str]]:
    about = f"{compared.width} × {compared.height} pixels before any coding"
    columns = [{"title": "original", "src": data_uri(compared.crop), "text": about}]
    for name, file in _files(compared).items():
        more = ", its lowest quality" if file.size_bytes > compared.own.size_bytes else ""
        text = f"{file.size_bytes:,} bytes{more} · {file.point.psnr_db:.2f} dB · MS-SSIM {file.point.ms_ssim:.4f}"
        columns.append({"title": name, "src": data_uri(file.crop), "text": text})
    return columns
