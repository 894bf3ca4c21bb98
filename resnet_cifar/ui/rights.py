"""Rights of a visitor. Hiding a control does not protect it, so every handler checks the rights again."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradio.context import LocalContext
from huggingface_hub import HfApi

from resnet_cifar.errors import UserError
from resnet_cifar.runs.status import State
from resnet_cifar.ui.refusals import refuse

_MAY_WRITE = ("admin", "write")  # roles in an organisation


@dataclass(frozen=True)
class Rights:
    """Whether visitors may start, stop, rename, delete and publish runs, and if not, why."""

    why_not: str | None = None
    owner: str | None = None
    """Owner of the Space (user or organisation); whoever can write as the owner may change runs after logging in."""
    why_no_training: str | None = None
    """Why runs cannot be started here, not even by the owner."""
    keeps_runs: bool = False
    """Whether the runs of a Space outlive a restart."""

    @property
    def offers_changes(self) -> bool:
        """Whether anyone may change runs, so that the page needs the controls."""
        return self.why_not is None or self.owner is not None

    @property
    def offers_training(self) -> bool:
        """Whether anyone may start runs."""
        return self.offers_changes and self.why_no_training is None

    @property
    def change(self) -> bool:
        """Whether the visitor may change runs. On a Space, call this in a handler: it reads the current request."""
        return self.why_not is None or (self.owner is not None and self.owner.lower() in _writes_as(_login()))

    @property
    def train(self) -> bool:
        """Whether the visitor may start, stop and resume runs."""
        return self.change and self.why_no_training is None

    def discreet(self, state: State) -> State:
        """Hide from strangers why a run failed, because the reason can contain local paths."""
        if self.change or state.reason is None:
            return state
        return replace(state, reason="The reason is shown only to those who may change runs.")

    def without(self, folder: Path, error: UserError) -> str:
        """Return an error's message; for strangers without the path of `folder`."""
        return str(error) if self.change else str(error).replace(f"{folder}{os.sep}", "")

    def need(self) -> None:
        """Raise a refusal if the visitor may not change runs."""
        if not self.change:
            raise refuse(self.why_not)

    def need_training(self) -> None:
        """Raise a refusal if the visitor may not start runs."""
        self.need()
        if self.why_no_training is not None:
            raise refuse(self.why_no_training)

    def hub(self) -> HfApi:
        """Return a Hub client: on a Space with the visitor's token, never its own; elsewhere with the local login."""
        if self.owner is None:
            return HfApi()
        login = _login()
        return HfApi(token=login["access_token"] if login else False)


def _login() -> dict[str, Any] | None:
    """Return the visitor's OAuth data; None if they are not logged in or the login has expired."""
    request = LocalContext.request.get(None)
    scope = getattr(getattr(request, "request", request), "scope", {})
    login: dict[str, Any] | None = scope.get("session", {}).get("oauth_info")
    return login if login and login.get("expires_at", 0) > time.time() else None


def _writes_as(login: dict[str, Any] | None) -> set[str]:
    """Return the user and organisations that a login can write as, in lower case."""
    if login is None:
        return set()
    user = login["userinfo"]
    orgs = [org["preferred_username"] for org in user.get("orgs") or [] if org.get("roleInOrg") in _MAY_WRITE]
    return {name.lower() for name in (user["preferred_username"], *orgs)}
