"""Files uploaded to the page; requests for any other file on this machine are refused."""

from dataclasses import dataclass
from pathlib import Path

from gradio.data_classes import FileData, ImageData
from gradio.utils import get_upload_folder

from resnet_cifar.errors import UserError

MAX_MEGABYTES = 50
"""Size of the largest file that can be uploaded."""


@dataclass(frozen=True)
class Upload:
    """An uploaded file and its original name."""

    path: Path
    name: str


def uploaded(file: FileData | ImageData) -> Upload:
    """Resolve a payload to its file. Raises UserError for URLs, paths outside the upload folder and missing files."""
    uploads = Path(get_upload_folder()).resolve()
    path = Path(file.path or "").resolve()
    if not file.path or not path.is_relative_to(uploads):
        raise UserError("only uploaded images are accepted, not paths or URLs.")
    name = file.orig_name or path.name
    if not path.is_file():
        raise UserError(f"{name} is no longer available, because uploads are deleted after an hour; drop it again.")
    return Upload(path, name)
