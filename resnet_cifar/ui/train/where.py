"""Where a new run trains: on this machine, or on hardware that the Hugging Face Hub rents out, at whose price."""

import html
from typing import Any

import gradio as gr
from huggingface_hub import get_token

from resnet_cifar.errors import UserError
from resnet_cifar.hub.jobs import Hardware, check_renter, list_hardware
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.system.background import at_once
from resnet_cifar.training.tariff import Tariff, check_rentable, tariff
from resnet_cifar.ui.options import UPLOADS
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

HERE = ""
"""The choice of this machine."""


class Where:
    """The choice, offered only where somebody is logged in to the Hub. `choice` has the name of the hardware."""

    def __init__(self, rights: Rights, opened: Any) -> None:
        """`opened`: the event of the tab being opened."""
        self._rights = rights
        self._known: dict[str, Hardware] = {}
        self.choice = gr.Dropdown(
            [("This machine", HERE)],
            value=HERE,
            label="Where",
            info="rented hardware is a Job of the Hugging Face Hub, at your cost",
            visible=False,
            elem_id="where",
        )
        if opened is not None and rights.owner is None:  # a Space would forget the run of a Job when it restarts
            opened(self.offer, None, self.choice, **UPLOADS)

    def offer(self) -> Any:
        """Offer the Hub's hardware, if somebody is logged in who may rent it; without a login, no request is made."""
        self._rights.need_training()
        if get_token() is None:
            return gr.update(visible=False)
        api = self._rights.hub()
        try:
            at_once(check_renter(api))
            self._known = {one.name: one for one in at_once(list_hardware(api)) if one.gpus}
        except UserError as error:  # the Publish tab says so too
            return gr.update(visible=True, info=f"Only this machine: {error}")
        titles = [(f"Hugging Face, {one.name}: ${one.dollars_an_hour:.2f}/h", one.name) for one in self._all()]
        return gr.update(choices=[("This machine", HERE), *titles], visible=True)

    def _all(self) -> list[Hardware]:
        return sorted(self._known.values(), key=lambda one: one.dollars_an_hour)

    def price(self, recipe: Recipe, name: str) -> Tariff:
        """Return what a recipe takes on rented hardware. Raises UserError if it cannot be trained there."""
        check_rentable(recipe)
        if name not in self._known:
            raise UserError(f"the Hugging Face Hub has no hardware {name!r} any more; reload the page.")
        return tariff(recipe, self._known[name])

    def line(self, recipe: Recipe, name: str) -> str:
        """Format what a recipe takes on rented hardware as HTML, or why it cannot be trained there."""
        try:
            sentence = self.price(recipe, name).sentence
        except UserError as error:
            return f"<p class='price wrong' role='alert'>{html.escape(_capital(str(error)))}</p>"
        return f"<p class='price'>{html.escape(_capital(sentence))}</p>"

    def question(self, recipe: Recipe, name: str) -> str:
        """Return what to ask before a Job is started. Raises a refusal if it cannot be."""
        try:
            price = self.price(recipe, name)
        except UserError as error:
            raise refuse(error) from error
        expected = f"about ${price.dollars:.2f} and " if price.dollars is not None else ""
        return f"This costs {expected}${price.most:.2f} at most, paid with your account's credit. Start?"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
