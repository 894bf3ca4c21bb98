"""Where a new run trains: on this machine if it can, or on hardware that the Hugging Face Hub rents out.

Jobs are started and paid for with the visitor's own login, on a Space too, never with that of the Space.
"""

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
_INFO = "rented hardware is a Job of the Hugging Face Hub, paid by your account"


class Where:
    """The choice, offered only to who is logged in to the Hub. `choice` has the hardware's name; None before a choice.

    A machine that does not train is not among the choices.
    """

    def __init__(self, rights: Rights, opened: Any) -> None:
        """`opened`: the event of the tab being opened."""
        self._rights = rights
        self._here = [("This machine", HERE)] if rights.why_no_training is None else []
        self._known: dict[str, Hardware] = {}
        self.choice = gr.Dropdown(
            self._here,
            value=HERE if self._here else None,
            label="Where",
            info=_INFO,
            visible=not self._here,
            elem_id="where",
        )
        if opened is not None:
            opened(self.offer, None, self.choice, **UPLOADS)

    def offer(self) -> Any:
        """Offer the Hub's hardware if the visitor may rent it, else say why not; without a login, make no request."""
        rights = self._rights
        if not rights.start or (rights.owner is None and get_token() is None):
            return gr.update(visible=False)
        try:
            if (why_not := rights.why_no_rent) is not None:
                raise UserError(why_not)
            api = rights.hub()
            who = at_once(check_renter(api))
            self._known = {one.name: one for one in at_once(list_hardware(api)) if one.gpus}
        except UserError as error:  # the Publish tab says so too
            return gr.update(visible=True, info=f"Only this machine: {error}" if self._here else _capital(str(error)))
        titles = [(f"Hugging Face, {one.name}: ${one.dollars_an_hour:.2f}/h", one.name) for one in self._all()]
        return gr.update(choices=[*self._here, *titles], visible=True, info=f"{_INFO}, {who.name}")

    def _all(self) -> list[Hardware]:
        return sorted(self._known.values(), key=lambda one: one.dollars_an_hour)

    def price(self, recipe: Recipe, name: str) -> Tariff:
        """Return what a recipe takes on rented hardware. Raises UserError if it cannot be trained there."""
        check_rentable(recipe)
        if name not in self._known:
            raise UserError(f"the Hugging Face Hub has no hardware {name!r} any more; reload the page.")
        return tariff(recipe, self._known[name])

    def line(self, recipe: Recipe, name: str | None) -> str:
        """Format what a recipe takes on rented hardware as HTML, or why it cannot be trained there."""
        if not name:
            return "<p class='price'>Choose hardware under <b>Where</b> to see what this run takes and costs.</p>"
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
