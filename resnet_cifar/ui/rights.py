"""What visitors may do. The page hides what they may not, and every handler asks again: hiding locks nothing."""

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
    """Whether visitors may start, stop, rename, delete and publish; where not, why."""

    why_not: str | None = None
    owner: str | None = None
    """Whose Space this is, who may all the same once logged in with the Hub: a user or an organisation."""
    why_no_training: str | None = None
    """Why runs can't be started here, even by those who may do all else."""

    @property
    def offers_changes(self) -> bool:
        """Whether there is anybody who may, so that the page must have the means."""
        return self.why_not is None or self.owner is not None

    @property
    def offers_training(self) -> bool:
        """Whether there is anybody who may start runs."""
        return self.offers_changes and self.why_no_training is None

    @property
    def change(self) -> bool:
        """Whether the visitor may change anything; where that hangs on who it is, to be asked within a handler."""
        return self.why_not is None or (self.owner is not None and self.owner.lower() in _writes_as(_login()))

    @property
    def train(self) -> bool:
        """Whether the visitor may start, stop and resume runs."""
        return self.change and self.why_no_training is None

    def discreet(self, state: State) -> State:
        """A state as the visitor may know it: why a run failed can hold paths of this machine."""
        if self.change or state.reason is None:
            return state
        return replace(state, reason="Why it failed is told to those who may change something.")

    def without(self, folder: Path, error: UserError) -> str:
        """What an error says, to strangers without where on this machine a folder lies."""
        return str(error) if self.change else str(error).replace(f"{folder}{os.sep}", "")

    def need(self) -> None:
        """Raise a refusal where the visitor may not change anything."""
        if not self.change:
            raise refuse(self.why_not)

    def need_training(self) -> None:
        """Raise a refusal where the visitor may not start runs."""
        self.need()
        if self.why_no_training is not None:
            raise refuse(self.why_no_training)

    def hub(self) -> HfApi:
        """The Hub: on a Space with the visitor's login, never with its own token; elsewhere with this machine's."""
        if self.owner is None:
            return HfApi()
        login = _login()
        return HfApi(token=login["access_token"] if login else False)


def _login() -> dict[str, Any] | None:
    """What the Hub told of the visitor when they logged in, while that is valid; None where they did not."""
    request = LocalContext.request.get(None)
    scope = getattr(getattr(request, "request", request), "scope", {})
    login: dict[str, Any] | None = scope.get("session", {}).get("oauth_info")
    return login if login and login.get("expires_at", 0) > time.time() else None


def _writes_as(login: dict[str, Any] | None) -> set[str]:
    """The user and the organisations, in lower case, that somebody can write as."""
    if login is None:
        return set()
    user = login["userinfo"]
    orgs = [org["preferred_username"] for org in user.get("orgs") or [] if org.get("roleInOrg") in _MAY_WRITE]
    return {name.lower() for name in (user["preferred_username"], *orgs)}
