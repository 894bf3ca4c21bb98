"""Image input of the API. It accepts uploads only, which are decoded by `data/images.py`, not by Gradio."""

import gradio as gr
from gradio.components.image import ImageData
from PIL import Image

from resnet_cifar.data.images import decode
from resnet_cifar.errors import UserError
from resnet_cifar.ui.classify.uploads import uploaded
from resnet_cifar.ui.refusals import refuse


class ImageInput(gr.Image):
    """gr.Image that opens only uploaded files, and decodes them with `decode`."""

    is_template = True  # the browser renders it as a gr.Image

    def preprocess(self, payload: ImageData | None) -> Image.Image | None:
        """Decode the uploaded image as RGB. Raises a refusal if that fails."""
        if payload is None:
            return None
        try:
            file = uploaded(payload)
            return decode(file.path, file.name)
        except UserError as error:
            raise refuse(error) from error
