"""The place where a picture comes into the page; its files are decoded by our own code, and only uploads are."""

from pathlib import Path

import gradio as gr
from gradio.components.image import ImageData
from gradio.utils import get_upload_folder
from PIL import Image

from resnet_cifar.errors import UserError
from resnet_cifar.pictures import decode
from resnet_cifar.ui.refusals import refuse


class PictureInput(gr.Image):
    """gr.Image, but that it opens nothing except what was uploaded, and nothing that `decode` refuses."""

    is_template = True  # to the browser it is a gr.Image

    def preprocess(self, payload: ImageData | None) -> Image.Image | None:
        """The uploaded picture as RGB. A URL, or a path outside the upload folder, is refused."""
        if payload is None:
            return None
        uploads = Path(get_upload_folder()).resolve()
        path = Path(payload.path or "").resolve()
        if not payload.path or not path.is_relative_to(uploads):
            raise refuse("only pictures that were uploaded are looked at, not paths on this machine or addresses.")
        try:
            return decode(path, payload.orig_name or path.name)
        except UserError as error:
            raise refuse(error) from error
