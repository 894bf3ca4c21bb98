"""Where images come into the page; their files are decoded by our own code, and only uploads are."""

import gradio as gr
from gradio.components.image import ImageData
from gradio.data_classes import ListFiles
from PIL import Image

from resnet_cifar.data.images import decode
from resnet_cifar.errors import UserError
from resnet_cifar.ui.classify.uploads import Upload, uploaded
from resnet_cifar.ui.refusals import refuse


class ImageInput(gr.Image):
    """gr.Image, but that it opens nothing except what was uploaded, and nothing that `decode` refuses."""

    is_template = True  # to the browser it is a gr.Image

    def preprocess(self, payload: ImageData | None) -> Image.Image | None:
        """The uploaded image as RGB."""
        if payload is None:
            return None
        file = uploaded(payload)
        try:
            return decode(file.path, file.name)
        except UserError as error:
            raise refuse(error) from error


class ImagesInput(gr.File):
    """gr.File for several files, which are decoded later: a bad one among them must not stop the others."""

    is_template = True  # to the browser it is a gr.File

    def preprocess(self, payload: ListFiles | None) -> list[Upload]:
        """The uploaded files, unopened."""
        return [uploaded(file) for file in payload or ()]
