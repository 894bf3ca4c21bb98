"""The page of one run: results, recipe, machine, files and model card, as HTML. Texts are escaped, paths left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import gradio as gr

from resnet_cifar.errors import UserError
from resnet_cifar.events import Event, RunCompleted
from resnet_cifar.hub.card import CARD
from resnet_cifar.recipe.diff import recipe_facts, stage_facts
from resnet_cifar.report.text import STAGE_COLUMNS, duration, file_size, gibibytes, percent, stage_rows
from resnet_cifar.runs.record import Record, Records
from resnet_cifar.runs.rented import is_rented, read_rented
from resnet_cifar.runs.status import State, state
from resnet_cifar.system.files import read_bytes
from resnet_cifar.ui.rights import Rights

_MODEL = ("Architecture", "Stem", "Initial weights", "Teacher", "Weight of the teacher")
_DATA = ("Data", "Train images", "Val images", "Seed")
_RESULTS = [column.capitalize() for column in STAGE_COLUMNS]
_LARGEST_CARD = 400_000  # bytes


def run_page() -> gr.HTML:
    """Create the page. Its value is the HTML of `described`."""
    return gr.HTML(
        apply_default_css=False,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        html_template='<div class="run-page"></div>',
        elem_id="run-page",
    )


def described(records: Records, rights: Rights, name: str) -> str:
    """Return a run's page as HTML."""
    try:
        record = records.get(name)
    except UserError as error:
        return f'<p class="card none">{escape(rights.without(records.root, error))}</p>'
    with record.lock:
        now = rights.discreet(state(record))
        parts = [
            _tiles(record, now),
            _section("Results by stage", _table(_RESULTS, stage_rows(_history(record)))),
            _recipe(record),
            _section("Data and machine", _facts(_machine(record, rights, now))),
        ]
    return "".join([*parts, _section("Files", _files(record.run.path)), _card(record.run.path)])


def _history(record: Record) -> Iterator[Event]:
    for stage in record.events.stages:
        yield stage
        yield from (ended for ended in record.events.epochs if ended.stage == stage.stage)


def _tiles(record: Record, now: State) -> str:
    best, last = record.best(), record.events.last
    tiles = {
        "Status": now.status,
        "Best val top-1": f"{percent(best[1])}|epoch {best[0] + 1} of {now.epochs_done}" if best else "-",
        "Test top-1": percent(now.test.top1) if now.test else "-|once, at the end",
        "Test top-5": percent(now.test.top5) if now.test else "-",
        "Test loss": f"{now.test.loss:.4f}" if now.test else "-",
        "Superclass": percent(last.coarse_top1) if isinstance(last, RunCompleted) and last.coarse_top1 else "-",
        "Epochs": f"{now.epochs_done}|of {now.epochs_planned}",
        "Time": duration(now.seconds),
    }
    if not now.test:
        del tiles["Test top-5"], tiles["Test loss"], tiles["Superclass"]
    reason = f'<p class="reason">{escape(now.reason)}</p>' if now.reason else ""
    shown = "".join(_tile(word, *text.split("|")) for word, text in tiles.items())
    return f'<section class="card"><dl class="tiles">{shown}</dl>{reason}</section>'


def _tile(word: str, text: str, more: str = "") -> str:
    return f"<div><dt>{word}</dt><dd>{escape(text)}<small>{escape(more)}</small></dd></div>"


def _recipe(record: Record) -> str:
    recipe, facts = record.recipe, recipe_facts(record.recipe)
    if recipe.teacher is None:
        del facts["Weight of the teacher"]
    about = f"<p>{escape(recipe.about)}</p>" if recipe.about else ""
    groups = "".join(
        f"<h4>{title}</h4>{_facts({word: facts[word] for word in words if word in facts})}"
        for title, words in (("Model", _MODEL), ("Images", _DATA))
    )
    stages = [stage_facts(stage) for stage in recipe.stages]
    rows = [(word, *(one[word] for one in stages)) for word in stages[0]]
    table = _table(("Setting", *(stage.name for stage in recipe.stages)), rows)
    content = f'{about}<div class="groups">{groups}</div><h4>Stages</h4>{table}'
    return _section(f"Recipe <b>{escape(recipe.name)}</b>", content)


def _machine(record: Record, rights: Rights, now: State) -> dict[str, str]:
    start, spec = record.events.start, record.recipe.dataset
    facts = {"Data set": record.recipe.data, "Test images": f"{spec.test_images:,}", "Classes": str(len(spec.labels))}
    if record.events.stages:
        stage = record.events.stages[-1]
        facts["Train images per epoch"] = f"{stage.images:,}"
        facts["Steps per epoch"] = f"{stage.steps:,}"
    if is_rented(record.run):
        with suppress(UserError):  # a file of another version is no reason to show nothing
            facts["Rented"] = f"{read_rented(record.run).hardware}, a Job of the Hugging Face Hub"
    if start is None:
        return facts | {"Device": "not started yet"}
    if start.data_dir and rights.change:
        facts["Data folder"] = start.data_dir
    facts |= {"Device": start.device, "Precision": start.precision, "Processes": str(start.processes)}
    speeds = [ended.images_per_second for ended in record.events.epochs if ended.images_per_second]
    if speeds:
        facts["Speed"] = f"{sum(speeds) / len(speeds):,.0f} images/s, mean of {len(speeds)} epochs"
    if now.memory:
        facts["Peak memory"] = gibibytes(now.memory)
    return facts


def _files(folder: Path) -> str:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        rows = [(file.name, file_size(file.stat().st_size)) for file in files]
    except OSError:  # deleted at this moment
        rows = []
    return _table(("File", "Size"), rows)


def _card(folder: Path) -> str:
    try:
        text = read_bytes(folder / CARD, _LARGEST_CARD).decode(errors="replace")
    except OSError:
        return ""
    return f'<details class="card"><summary>Model card</summary><pre tabindex="0">{escape(text)}</pre></details>'


def _section(title: str, content: str) -> str:
    return f'<section class="card"><h3>{title}</h3>{content}</section>'


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(word)}</dt><dd>{escape(text)}</dd></div>" for word, text in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(text)}</td>" for text in rest)}</tr>'
        for first, *rest in rows
    ]
    if not lines:
        return '<p class="nothing">nothing yet</p>'
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(columns[0])}">{body}</div>'
