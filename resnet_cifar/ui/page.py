"""The page: header, tabs and clock, and the server that serves them."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no request to other hosts
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")  # or each event would be put into a table with 10,000 others
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**12))

import html
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_space
from starlette.middleware import Middleware

from resnet_cifar.errors import UserError
from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.hub.storage import STORAGE
from resnet_cifar.model.zero_gpu import ON_ZERO_GPU, PAGE_DEVICE
from resnet_cifar.runs.record import Records
from resnet_cifar.system.device import choose_device, describe
from resnet_cifar.training.launcher import Launcher
from resnet_cifar.ui.answering import Answering
from resnet_cifar.ui.chart import PLOTLY_JS
from resnet_cifar.ui.classify.models import Models
from resnet_cifar.ui.classify.tab import classify_tab
from resnet_cifar.ui.classify.uploads import MAX_MEGABYTES
from resnet_cifar.ui.cleaning import MAX_SESSIONS, cleaning, fetch_nothing
from resnet_cifar.ui.clock import Clock
from resnet_cifar.ui.curves.tab import curves_tab
from resnet_cifar.ui.endpoints import endpoints
from resnet_cifar.ui.inspect.tab import inspect_tab
from resnet_cifar.ui.keeping import keep_runs, until_kept
from resnet_cifar.ui.limits import Limits, allow_connections
from resnet_cifar.ui.options import MAX_WAITING, QUIET
from resnet_cifar.ui.origin import LOCAL, SameOrigin
from resnet_cifar.ui.publish.tab import publish_tab
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import JOBS, Rights
from resnet_cifar.ui.theme import CSS, theme
from resnet_cifar.ui.train.own_images import MAX_MEGABYTES as MAX_ARCHIVE
from resnet_cifar.ui.train.tab import train_tab
from resnet_cifar.ui.train.title import title_html
from resnet_cifar.ui.upload_folder import KEPT, Uploads, private_folder

_FULL = 500  # MB of uploads, after which the oldest make room for new ones; more where archives are uploaded
_ALWAYS: dict[str, Any] = {  # of a launch
    "quiet": True,
    "prevent_thread_lock": True,
    "footer_links": ["api"],  # without it, the page has no ?view=api; its own footer is hidden
    "run_history": False,
    "enable_monitoring": False,
    "strict_cors": True,
    "ssr_mode": False,  # on by default on a Space, where a Node server would render pages
}
_JS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
_LINKS = {
    "API": "?view=api",
    "The paper: Deep Residual Learning (2015)": "https://arxiv.org/abs/1512.03385",
    "The data set: CIFAR-100": "https://www.cs.toronto.edu/~kriz/cifar.html",
}


def build(root: Path, rights: Rights) -> gr.Blocks:
    """Build the page for a folder of checkpoints."""
    models, records, device = Models(root, rights), Records(root), choose_device(PAGE_DEVICE)
    gr.set_static_paths([PLOTLY_JS])
    with gr.Blocks(title="resnet_cifar", delete_cache=(600, KEPT)) as page:
        clock = Clock()
        titled = partial(header, "ZeroGPU" if ON_ZERO_GPU else describe(device))
        with gr.Row(elem_id="top"):
            top = gr.HTML(titled(models.default()), elem_id="header", container=False, padding=False, scale=1)
            if rights.owner:
                gr.LoginButton("Log in", "Log out ({})", variant="secondary", size="sm", scale=0, min_width=120)
        title = title_html(records)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Classify"):
                chosen, model = classify_tab(models)
            with gr.Tab("Train") as train:
                card = train_tab(records, Launcher(root, device), models, rights, clock, title, train.select)
            with gr.Tab("Curves"):
                curves_tab(records, rights, clock)
            with gr.Tab("Inspect"):
                inspect_tab(models, rights, device, model)
            targets = {"Classify": chosen, "Inspect": chosen}  # Inspect looks at the model that answers
            if rights.offers_changes:
                with gr.Tab("Publish", visible=rights.why_not is None, elem_id="publish-tab") as tab:
                    targets["Publish"] = publish_tab(records, rights, tab.select)
                if rights.owner:
                    page.load(lambda: gr.update(visible=rights.change), None, tab, **QUIET)
        _follow(card, models, targets)
        gr.HTML(footer(root, os.environ.get("SPACE_ID")), elem_id="footer", container=False, padding=False)
        for event in (page.load, model.change):
            event(titled, model, top, **QUIET)
        endpoints(records, rights)
        clock.start()
    return page.queue(max_size=MAX_WAITING)


def _follow(card: gr.HTML, models: Models, targets: dict[str, gr.Dropdown]) -> None:
    """Choose the run of the Train tab's card in the tab that it opens. `targets`: the tabs with a list of runs."""

    def choose(event: gr.EventData) -> dict[Any, Any]:
        if event.tab not in targets:
            return dict.fromkeys(targets.values(), gr.skip())
        name, names = str(event.name), models.names()
        if name not in names:
            raise refuse(f"{name} has no usable weights.")
        return {targets[event.tab]: gr.update(choices=names, value=name)}

    card.select(choose, None, [*dict.fromkeys(targets.values())], **QUIET)


def header(device: str, model: str | None) -> str:
    """Return the page's header: title, model and device."""
    name = f"Model <b>{html.escape(model)}</b>" if model else "no model yet"
    return (
        "<h1>resnet_cifar</h1><p>ResNet-34 on the 100 classes of CIFAR-100</p>"
        f"<p class='facts'><span>{name}</span><span>{html.escape(device)}</span></p>"
    )


def footer(root: Path, space: str | None) -> str:
    """Return the page's footer: links to whatever explains it. `space`: OWNER/NAME if it is a Space."""
    links = dict(_LINKS)
    if (root / SHIPPED).is_dir():
        links["The model that ships"] = f"#curves/{SHIPPED}"  # its page, with the model card
    if space:
        links["Source"] = f"https://huggingface.co/spaces/{html.escape(space)}/tree/main"
    return f"<p>{''.join(f'<a href={address!r}>{text}</a>' for text, address in links.items())}</p>"


def serve(
    root: Path,
    host: str,
    port: int,
    *,
    share: bool = False,
    auth: tuple[str, str] | None = None,
    read_only: bool = False,
    wait: bool = True,
    storage: Path = Path(STORAGE),
) -> gr.Blocks:
    """Serve the page, and block until it is closed unless `wait` is False.

    Only this machine can reach it unless `host` or `share` says otherwise. `storage`: a Space that has this folder
    restores its runs from it and keeps them there. Raises UserError if the port is unavailable.
    """
    keeping = keep_runs(root, storage)
    local = host in LOCAL and not share
    rights = rights_of(local, auth is not None, read_only, os.environ.get("SPACE_ID"))
    rights = replace(rights, keeps_runs=keeping is not None)
    largest = max_megabytes(rights)
    uploads = Uploads(private_folder(), max(_FULL, 2 * largest) * 2**20)
    page = build(root, rights)
    fetch_nothing()
    allow_connections()
    try:
        _, url, shared = page.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=auth,
            theme=theme(),
            css=CSS,
            js=_JS,
            max_file_size=f"{largest}mb",
            state_session_capacity=MAX_SESSIONS,
            blocked_paths=[str(root)],
            app_kwargs={"middleware": _guards(local, uploads, largest), "lifespan": cleaning(uploads)},
            **_ALWAYS,
        )
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error}. Choose another --port or --host.") from error
    print(f"the page is at {shared or url}", flush=True)
    if rights.why_not:
        print(rights.why_not, flush=True)
    if wait:
        with until_kept(keeping):
            page.block_thread()
    return page


def _guards(local: bool, uploads: Uploads, largest: int) -> list[Middleware]:
    """Return what a request has to pass, in this order. `largest`: MB of the largest upload."""
    return [
        Middleware(SameOrigin, local=local),
        Middleware(Limits, uploads=uploads, largest=largest * 2**20),
        Middleware(Answering),
    ]


def max_megabytes(rights: Rights) -> int:
    """Return the size of the largest upload: an archive where every visitor may start runs, elsewhere an image."""
    return MAX_ARCHIVE if rights.why_not is None and rights.why_no_training is None else MAX_MEGABYTES


def rights_of(local: bool, password: bool, read_only: bool, space: str | None) -> Rights:
    """Return what visitors may do, given how the page is reached. `space`: OWNER/NAME if it is a Space."""
    if space is not None and not read_only and _can_log_in():
        owner = space.partition("/")[0]
        why_not = (
            f"This Space classifies images and shows curves. Its owner, {owner}, can log in to do more. To train a "
            "model yourself, run the app on your own machine."
        )
        return Rights(why_not, owner, _why_no_training_on_space(), _why_no_jobs_on_space())
    if space is not None:
        return Rights(
            "This Space classifies images and shows curves. To train a model, run the app on your own machine."
        )
    if read_only:
        return Rights("This page was started with --read-only: it classifies images and shows curves, nothing else.")
    if not local and not password:
        return Rights(
            "Other machines can reach this page and it has no password, so it only classifies images and shows curves. "
            "Set --auth USER:PASSWORD to allow training, renaming and deleting."
        )
    return Rights()


def _can_log_in() -> bool:
    """Whether the variables and packages for logging in with the Hub are available."""
    variables = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
    packages = ("authlib", "itsdangerous")
    return get_space() is not None and all(map(os.environ.get, variables)) and all(find_spec(name) for name in packages)


def _why_no_training_on_space() -> str | None:
    if ON_ZERO_GPU:
        return "This Space has a GPU only for seconds at a time (ZeroGPU), which is too short for training."
    if choose_device("auto").type != "cuda":
        return "This Space has no GPU to train with."
    return None


def _why_no_jobs_on_space() -> str | None:
    if JOBS in os.environ["OAUTH_SCOPES"].split():
        return None
    return (
        "Logins here may not start Jobs: deploy the Space again, with the scope `jobs` in its README; or train on your "
        "own machine, or from there on a rented GPU (--on), and deploy the run."
    )
