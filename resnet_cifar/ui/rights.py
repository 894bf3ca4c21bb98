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

JOBS = "jobs"
"""OAuth scope of a login that may start Jobs at the visitor's cost."""
_MAY_WRITE = ("admin", "write")  # roles in an organisation


@dataclass(frozen=True)
class Rights:
    """Whether visitors may start, stop, rename, delete and publish runs, and if not, why."""

    why_not: str | None = None
    owner: str | None = None
    """Owner of the Space (user or organisation); whoever can write as the owner may change runs after logging in."""
    why_no_training: str | None = None
    """Why runs cannot be trained on this machine, not even by the owner."""
    why_no_jobs: str | None = None
    """Why runs cannot be started as Jobs of the Hub from here, not even by the owner."""
    keeps_runs: bool = False
    """Whether the runs of a Space outlive a restart."""

    @property
    def offers_changes(self) -> bool:
        """Whether anyone may change runs, so that the page needs the controls."""
        return self.why_not is None or self.owner is not None

    @property
    def offers_runs(self) -> bool:
        """Whether anyone may start runs, on this machine or as Jobs."""
        return self.offers_changes and None in (self.why_no_training, self.why_no_jobs)

    @property
    def change(self) -> bool:
        """Whether the visitor may change runs. On a Space, call this in a handler: it reads the current request."""
        return self.why_not is None or (self.owner is not None and self.owner.lower() in _writes_as(_login()))

    @property
    def train(self) -> bool:
        """Whether the visitor may use this machine to train."""
        return self.change and self.why_no_training is None

    @property
    def rent(self) -> bool:
        """Whether the visitor may start Jobs, as far as is known without a request to the Hub."""
        return self.change and self.why_no_rent is None

    @property
    def start(self) -> bool:
        """Whether the visitor may start runs, on this machine or as Jobs."""
        return self.train or self.rent

    @property
    def why_no_rent(self) -> str | None:
        """Why the visitor, who may change runs, cannot start Jobs. On a Space, it reads the current request."""
        granted = (_login() or {}).get("scope") if self.owner is not None else None
        if self.why_no_jobs is None and granted is not None and JOBS not in granted.split():
            return "This login may not start Jobs; log out and in again, and allow them."
        return self.why_no_jobs

    @property
    def why_not_here(self) -> str | None:
        """Why this machine does not train, and what the visitor, who may change runs, can do instead."""
        if self.why_no_training is None:
            return None
        offer = "Choose hardware under Where in the Train tab: a Job trains the run there, paid by your account."
        return f"{self.why_no_training} {self.why_no_rent or offer}"

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
        """Raise a refusal if the visitor may not use this machine to train."""
        self._check(self.why_not_here)

    def need_jobs(self) -> None:
        """Raise a refusal if the visitor may not start Jobs."""
        self._check(self.why_no_rent)

    def need_start(self) -> None:
        """Raise a refusal if the visitor may start runs neither on this machine nor as Jobs."""
        self._check(None if self.start else self.why_not_here)

    def _check(self, reason: str | None) -> None:
        """Raise a refusal if the visitor may not change runs, or for a reason that speaks against it."""
        self.need()
        if reason is not None:
            raise refuse(reason)

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
