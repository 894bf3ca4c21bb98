"""The page as a whole: what stands around the tabs, and how it is served."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: nothing is asked of other hosts
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from pathlib import Path

import gradio as gr

from resnet_cifar.device import choose_device, describe
from resnet_cifar.errors import UserError
from resnet_cifar.ui.classify import classify_tab
from resnet_cifar.ui.models import Models
from resnet_cifar.ui.theme import CSS, theme

_KEEP_UPLOADS = (600, 3600)  # seconds between two sweeps, and how old a file may become


def build(root: Path) -> gr.Blocks:
    """The page over a folder of checkpoints."""
    models = Models(root)
    with gr.Blocks(title="resnet_cifar", delete_cache=_KEEP_UPLOADS) as page:
        device = describe(choose_device("auto"))
        gr.HTML(
            f"<h1>resnet_cifar</h1><p>ResNet-34 on CIFAR-100's hundred classes &middot; {device}</p>",
            elem_id="header",
            container=False,
            padding=False,
        )
        with gr.Tabs(), gr.Tab("Classify"):
            classify_tab(models)
    return page.queue(max_size=64)


def serve(root: Path, host: str, port: int, wait: bool = True) -> gr.Blocks:
    """Open the page, and stay until it is closed. Nobody but this machine gets in, unless `host` says otherwise."""
    page = build(root)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            theme=theme(),
            css=CSS,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            strict_cors=True,
            max_file_size="50mb",
            blocked_paths=[str(root)],
        )
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error}. Choose another --port or --host.") from error
    print(f"the page is at {url}", flush=True)
    if wait:
        page.block_thread()
    return page
