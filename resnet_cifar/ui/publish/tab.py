"""The tab that uploads a run to the Hugging Face Hub; who is logged in decides where to, and no token is ever typed."""

import html
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.events import Progress
from resnet_cifar.hub.card import CURVES, CURVES_TEXT
from resnet_cifar.hub.push import Plan, account, plan, push, with_timeout
from resnet_cifar.hub.space import deploy, plan_app
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.model.export import can_export
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import at_once
from resnet_cifar.ui.options import QUIET
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

_LANE: dict[str, Any] = {
    "concurrency_id": "hub",
    "concurrency_limit": 2,
    "show_progress": "hidden",
    "api_visibility": "private",
}
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_STEPS = ("making the repo", "uploading", "done")
_WEIGHTS, _SPACE = "The weights", "A Space: the app with the weights in it"


def publish_tab(records: Records, rights: Rights, opened: Any) -> None:
    """Which run, where to, what goes there, and how it went. `opened`: the trigger of the tab's being looked at."""
    who = gr.HTML(_who("Looking who is logged in …"), container=False, padding=False)
    with gr.Row():
        run = gr.Dropdown(publishable(records), label="Run", info="one that has kept weights", interactive=True)
        repo = gr.Textbox(label="Repo", info="USER/NAME on the Hugging Face Hub", max_lines=1)
    kind = gr.Radio([_WEIGHTS, _SPACE], value=_WEIGHTS, label="What", elem_id="what")
    with gr.Row():
        public = gr.Checkbox(False, label="Public", info="a new repo is private otherwise")
        as_pr = gr.Checkbox(False, label="As a pull request", info="for a repo that others look after")
        onnx = gr.Checkbox(False, label="ONNX too", info="for runtimes without torch", visible=can_export())
    with gr.Row():
        show = gr.Button("Show what goes there", elem_id="dry-run")
        publish = gr.Button("Publish", variant="primary", elem_id="publish")
    status = gr.HTML(container=False, padding=False, apply_default_css=False, elem_id="published")
    with gr.Accordion("The model card", open=False, visible=False) as fold:
        card = gr.Markdown(elem_id="card")
    opened(partial(logged_in, rights), None, who, **_LANE)
    opened(partial(_choices, records), [run, repo], [run, repo], **QUIET)
    run.focus(partial(_choices, records), [run, repo], [run, repo], **QUIET)
    of_weights = [as_pr, onnx]
    kind.change(_offered, kind, of_weights, **QUIET)
    show.click(partial(dry_run, records, rights), [kind, run, repo, public], [status, fold, card], **_LANE)
    publish.click(partial(upload, records, rights), [kind, run, repo, public, *of_weights], status, **_LANE)


def publishable(records: Records) -> list[str]:
    """The runs that have weights to show for it."""
    return [name for name in records.names() if (records.root / name / MODEL).is_file()]


def _choices(records: Records, run: str | None, repo: str) -> tuple[Any, Any]:
    names = publishable(records)
    chosen = run if run in names else next(iter(names), None)
    return gr.update(choices=names, value=chosen), gr.skip()


def logged_in(rights: Rights) -> str:
    """Whose login is used, or how to log in; on a machine of one's own that is no stranger's business."""
    rights.need()
    hub = rights.hub()
    try:
        who = at_once(with_timeout(lambda: account(hub)))
    except UserError as error:
        return _who(_sentence(str(error)))
    places = ", ".join((who.name, *who.organisations))
    if not who.may_write:
        return _who(f"<b>{html.escape(who.name)}</b> is logged in, with a token that may only read.")
    return _who(f"<b>{html.escape(who.name)}</b> is logged in, and may write to {html.escape(places)}.")


def dry_run(
    records: Records, rights: Rights, kind: str, run: str | None, repo: str, public: bool
) -> tuple[str, Any, str]:
    """What would be uploaded, without a request."""
    rights.need()
    try:
        planned = (plan_app if kind == _SPACE else plan)(_run(records, run), _repo(repo), public)
    except UserError as error:
        raise refuse(error) from error
    return _files(planned), gr.update(visible=kind != _SPACE), _shown(planned.card)


def upload(
    records: Records, rights: Rights, kind: str, run: str | None, repo: str, public: bool, as_pr: bool, onnx: bool
) -> Iterator[str]:
    """Upload a run, by itself or with the app, and say how far that is."""
    rights.need()
    try:
        source, target, hub = _run(records, run), _repo(repo), rights.hub()
        if kind == _SPACE:
            work = deploy(source, target, public=public, api=hub)
        else:
            work = push(source, target, public=public, create_pr=as_pr, onnx=onnx, api=hub)
        began = time.monotonic()
        while True:
            yield _doing(next(work), time.monotonic() - began)
    except StopIteration as end:
        link = html.escape(end.value, quote=True)
        yield f"<p class='notice' role='status'>It is at <a href='{link}' target='_blank'>{link}</a>.</p>"
    except UserError as error:
        yield ""
        raise refuse(error) from error


def _offered(kind: str) -> tuple[Any, Any]:
    """What there is to choose of for weights, and not for a Space."""
    weights = kind == _WEIGHTS
    return gr.update(visible=weights), gr.update(visible=weights and can_export())


def _run(records: Records, name: str | None) -> RunDir:
    if name not in publishable(records):
        raise UserError(f"there is no run {name!r} here that has kept weights; train one first.")
    return RunDir(records.root / name)


def _repo(repo: str) -> str:
    if not repo.strip():
        raise UserError("there is no repo named; it must be USER/NAME.")
    return repo.strip()


def _shown(card: str) -> str:
    """A card as it can be shown here: without its metadata, its image, and colours of code that are hard to read."""
    text = card.split("---\n", 2)[2].replace(f"![{CURVES_TEXT}]({CURVES})", "")
    text = _TABLE.sub(r'<div class="wide" tabindex="0">\n\n\g<0>\n</div>\n', text)  # for phones: they scroll
    return text.replace("```python", "```").replace("```bibtex", "```")


def _doing(progress: Progress, seconds: float) -> str:
    step = "exporting" if progress.phase == "export" else _STEPS[min(progress.done, 2)]
    return f"<p class='notice' role='status'>{step.capitalize()} … {seconds:.0f} s</p>"


def _files(planned: Plan) -> str:
    total = sum(planned.files.values())
    rows = "".join(f"<tr><td>{name}</td><td>{size:,} bytes</td></tr>" for name, size in planned.files.items())
    kind = "public" if planned.public else "private, if it is new"
    head = f"To <b>{html.escape(planned.repo)}</b> ({kind}), in one commit of {total / 1e6:,.1f} MB:"
    return f"<div class='card files'><p>{head}</p><table>{rows}</table></div>"


def _sentence(text: str) -> str:
    """A sentence by itself, with its commands set as such."""
    parts = html.escape(text[:1].upper() + text[1:]).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _who(text: str) -> str:
    return f"<p class='notice'>{text}</p>"
