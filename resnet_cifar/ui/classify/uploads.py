"""The files that were sent to the page; no other file on this machine is opened for anybody."""

from dataclasses import dataclass
from pathlib import Path

from gradio.data_classes import FileData, ImageData
from gradio.utils import get_upload_folder

from resnet_cifar.ui.refusals import refuse


@dataclass(frozen=True)
class Upload:
    """A file that a browser or a program sent, and what it is called there."""

    path: Path
    name: str


def uploaded(file: FileData | ImageData) -> Upload:
    """The file that a payload means. A URL, a path outside the upload folder, or a file that is gone is refused."""
    uploads = Path(get_upload_folder()).resolve()
    path = Path(file.path or "").resolve()
    if not file.path or not path.is_relative_to(uploads):
        raise refuse("only images that were uploaded are looked at, not paths on this machine or addresses.")
    name = file.orig_name or path.name
    if not path.is_file():
        raise refuse(f"{name} is no longer here, since uploads are not kept for long; drop it again.")
    return Upload(path, name)
