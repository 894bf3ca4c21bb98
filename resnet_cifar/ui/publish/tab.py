"""The Publish tab: uploads a run to the Hugging Face Hub with the current login; no token is typed here."""

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
from resnet_cifar.hub.space import HARDWARE, deploy, plan_app
from resnet_cifar.model.checkpoint import MODEL
from resnet_cifar.model.export import can_export
from resnet_cifar.report.text import file_size
from resnet_cifar.runs.record import Records
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system.background import at_once
from resnet_cifar.ui.options import QUIET, UPLOADS
from resnet_cifar.ui.refusals import refuse
from resnet_cifar.ui.rights import Rights

_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_STEPS = ("creating the repo", "uploading", "done")
_WEIGHTS, _SPACE = "Weights", "Space: the app with these weights"
_HARDWARE = [("As it is, and ZeroGPU if it is new", ""), *((name, name) for name in HARDWARE)]


def publish_tab(records: Records, rights: Rights, opened: Any) -> gr.Dropdown:
    """Build the tab, and return the run's dropdown. `opened`: the event of the tab being opened."""
    who = gr.HTML(_notice("Checking the login …"), container=False, padding=False)
    with gr.Group():
        with gr.Row():
            run = gr.Dropdown(
                publishable(records), label="Run", info="with saved weights", interactive=True, min_width=240
            )
            repo = gr.Textbox(label="Repo", info="USER/NAME on the Hugging Face Hub", max_lines=1, min_width=240)
        kind = gr.Radio([_WEIGHTS, _SPACE], value=_WEIGHTS, label="Publish as", elem_id="what")
        with gr.Row():
            public = gr.Checkbox(False, label="Public", info="otherwise a new repo is private")
            as_pr = gr.Checkbox(False, label="As a pull request", info="for a repo maintained by others")
            onnx = gr.Checkbox(
                False, label="Include ONNX", info="for runtimes without torch", visible=can_export(), min_width=200
            )
            hardware = gr.Dropdown(
                _HARDWARE,
                label="Hardware of the Space",
                info="zero-a10g is ZeroGPU, which a free account can have twice; the others need a paid plan or credit",
                visible=False,
                min_width=320,
            )
            storage = gr.Checkbox(
                False, label="Keep its runs", info="in a private bucket, beyond a restart", visible=False, min_width=200
            )
    with gr.Row(elem_classes="actions"):
        show = gr.Button("Preview", elem_id="dry-run")
        publish = gr.Button("Publish", variant="primary", elem_id="publish", interactive=False)
    status = gr.HTML(container=False, padding=False, apply_default_css=False, elem_id="published")
    with gr.Accordion("Model card", open=False, visible=False) as fold:
        card = gr.Markdown(elem_id="card")
    opened(partial(logged_in, rights), None, [who, publish], **UPLOADS)
    for event in (opened, run.focus):
        event(partial(_choices, records), run, run, **QUIET)
    options = [as_pr, onnx, hardware, storage]
    kind.change(_options, kind, options, **QUIET)
    form = [kind, run, repo, public, *options]
    show.click(partial(dry_run, records, rights), form, [status, fold, card], **UPLOADS)
    publish.click(partial(upload, records, rights), form, status, **UPLOADS)
    return run


def publishable(records: Records) -> list[str]:
    """List the runs with saved weights."""
    return [name for name in records.names() if (records.root / name / MODEL).is_file()]


def _choices(records: Records, run: str | None) -> Any:
    """Update the runs that can be chosen; if there is no such run any more, choose the newest."""
    names = publishable(records)
    chosen = run if run in names else next(iter(names), None)
    return gr.update(choices=names, value=chosen)


def logged_in(rights: Rights) -> tuple[str, Any]:
    """Return whose login is used, or how to log in, and whether one can publish. Raises a refusal for strangers."""
    rights.need()
    hub = rights.hub()
    try:
        who = at_once(with_timeout(lambda: account(hub)))
    except UserError as error:
        return _notice(_sentence(f"{error} Until then, only the preview is available.")), gr.update(interactive=False)
    if not who.may_write:
        why_not = (
            f"<b>{html.escape(who.name)}</b> is logged in, but the token can only read, so nothing can be published."
        )
        return _notice(why_not), gr.update(interactive=False)
    places = html.escape(", ".join((who.name, *who.organisations)))
    return _notice(f"<b>{html.escape(who.name)}</b> is logged in and can write to {places}."), gr.update(
        interactive=True
    )


def dry_run(
    records: Records,
    rights: Rights,
    kind: str,
    run: str | None,
    repo: str,
    public: bool,
    as_pr: bool,
    onnx: bool,
    hardware: str,
    storage: bool,
) -> Iterator[tuple[str, Any, str]]:
    """Yield what would be uploaded: files and model card. Sends no request."""
    rights.need()
    yield _notice("Preparing the files …"), gr.skip(), gr.skip()
    try:
        source, target = _run(records, run), _repo(repo)
        if kind == _SPACE:
            planned = plan_app(source, target, public=public, hardware=hardware or None, storage=storage)
        else:
            planned = plan(source, target, public=public, create_pr=as_pr, onnx=onnx)
    except UserError as error:
        yield "", gr.update(visible=False), ""
        raise refuse(error) from error
    yield _files(planned), gr.update(visible=kind != _SPACE), _preview(planned.card)


def upload(
    records: Records,
    rights: Rights,
    kind: str,
    run: str | None,
    repo: str,
    public: bool,
    as_pr: bool,
    onnx: bool,
    hardware: str,
    storage: bool,
) -> Iterator[str]:
    """Upload a run as a model repo or a Space; yield the progress as HTML."""
    rights.need()
    try:
        source, target, hub = _run(records, run), _repo(repo), rights.hub()
        if kind == _SPACE:
            work = deploy(source, target, public=public, hardware=hardware or None, storage=storage, api=hub)
        else:
            work = push(source, target, public=public, create_pr=as_pr, onnx=onnx, api=hub)
        began = time.monotonic()
        while True:
            yield _progress(next(work), time.monotonic() - began)
    except StopIteration as end:
        link = html.escape(end.value, quote=True)
        yield f"<p class='notice' role='status'>Published at <a href='{link}' target='_blank'>{link}</a>.</p>"
    except UserError as error:
        yield ""
        raise refuse(error) from error


def _options(kind: str) -> tuple[Any, ...]:
    """Show the options of a model repo or those of a Space."""
    is_weights = kind == _WEIGHTS
    return (
        gr.update(visible=is_weights),
        gr.update(visible=is_weights and can_export()),
        gr.update(visible=not is_weights),
        gr.update(visible=not is_weights),
    )


def _run(records: Records, name: str | None) -> RunDir:
    if name not in publishable(records):
        raise UserError(f"run {name!r} does not exist or has no saved weights; train one first.")
    return RunDir(records.root / name)


def _repo(repo: str) -> str:
    if not repo.strip():
        raise UserError("repo is empty; it must be USER/NAME.")
    return repo.strip()


def _preview(card: str) -> str:
    """Prepare a card for display: no metadata, no image, and no syntax colours, whose contrast is too low."""
    text = card.split("---\n", 2)[2].replace(f"![{CURVES_TEXT}]({CURVES})", "")
    text = _TABLE.sub(r'<div class="wide" tabindex="0">\n\n\g<0>\n</div>\n', text)  # so that tables scroll on phones
    return text.replace("```python", "```").replace("```bibtex", "```")


def _progress(progress: Progress, seconds: float) -> str:
    step = "exporting" if progress.phase == "export" else _STEPS[min(progress.done, 2)]
    return f"<p class='notice' role='status'>{step.capitalize()} … {seconds:.0f} s</p>"


def _files(planned: Plan) -> str:
    total = sum(planned.files.values())
    rows = "".join(f"<tr><td>{name}</td><td>{file_size(size)}</td></tr>" for name, size in planned.files.items())
    repo = f"<b>{html.escape(planned.repo)}</b> ({'public' if planned.public else 'private if new'})"
    how = f"As a pull request to {repo}" if planned.create_pr else f"To {repo}, in one commit"
    kept = f"<p>Its runs are kept in the private bucket <b>{planned.bucket}</b>.</p>" if planned.bucket else ""
    return f"<div class='card files'><p>{how}, {file_size(total)}:</p><table>{rows}</table>{kept}</div>"


def _sentence(text: str) -> str:
    """Format a message as a sentence, with `commands` as code."""
    parts = html.escape(text[:1].upper() + text[1:]).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _notice(text: str) -> str:
    return f"<p class='notice'>{text}</p>"
