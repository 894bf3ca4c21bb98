"""The report on a person's own images as HTML: bars, an image of each class, and what is not used."""

import base64
import io
from html import escape

from resnet_cifar.data.images import to_image
from resnet_cifar.data.own_store import OwnImages

_SIDE = 64  # pixels of an image, at most
_PICTURED = 200  # classes; with more, only the first ones are shown with an image


def report_html(own: OwnImages) -> str:
    """Format the report of a person's images."""
    report, most = own.report, max(own.report.totals)
    images = [_image(own, row) for row in own.first_of_each_class()[:_PICTURED].tolist()]
    images += [""] * (len(report.labels) - len(images))
    rows = zip(report.labels, report.totals, images, strict=True)
    classes = "".join(
        f"<li>{image}<b>{escape(label)}</b><i style='--part:{total / most:.3f}'></i><span>{total:,}</span></li>"
        for label, total, image in rows
    )
    remarks = "".join(f"<p class='note'>{_sentence(remark)}</p>" for remark in report.remarks)
    warnings = "".join(f"<p class='warning'>{escape(warning)}</p>" for warning in report.warnings)
    unused = "".join(f"<li>{escape(line)}</li>" for line in report.unused_files)
    skipped = f"<details><summary>{report.unused}</summary><ul>{unused}</ul></details>" if unused else ""
    return f"<h3>{escape(report.summary)}</h3><ul class='classes'>{classes}</ul>{remarks}{warnings}{skipped}"


def _sentence(remark: str) -> str:
    return f"{escape(remark[:1].upper() + remark[1:])}."


def _image(own: OwnImages, row: int) -> str:
    image = to_image(own.images[row])
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'>"
