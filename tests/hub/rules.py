"""The Hub's rules for the metadata of a README, as far as they are documented.

Sources: modelcard.md and docs/hub/spaces-config-reference.md of huggingface/hub-docs; the tasks of @huggingface/tasks.
"""

import re
from typing import Any

_MODEL_FIELDS = {"license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index", "base_model"}
_SPACE_FIELDS = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license"),
    *("models", "datasets", "tags", "pinned", "short_description", "hf_oauth", "hf_oauth_scopes"),
    *("hf_oauth_expiration_minutes", "suggested_hardware", "preload_from_hub"),
}
_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
_SCOPES = {
    *("email", "read-billing", "read-repos", "contribute-repos", "write-repos", "manage-repos", "inference-api"),
    *("jobs", "webhooks", "write-discussions", "gated-repos"),
}
_LICENSES = {"mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "openrail", "unknown", "other"}
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def faults(kind: str, fields: dict[str, Any]) -> list[str]:
    """List what the Hub would refuse in the metadata of a `model` or a `space`."""
    known = _MODEL_FIELDS if kind == "model" else _SPACE_FIELDS
    found = [f"{name!r} is not a field" for name in fields if name not in known]
    found += [f"{name!r} is empty" for name, value in fields.items() if value in (None, "", [])]
    if "license" in fields and fields["license"] not in _LICENSES:
        found.append(f"license {fields['license']!r} is not known")
    for name in ("models", "datasets"):
        found += [f"{one!r} in {name} is no id" for one in fields.get(name, []) if not _ID.fullmatch(one)]
    for name in ("tags", "metrics", "datasets", "models"):
        if name in fields and not all(isinstance(one, str) for one in fields[name]):
            found.append(f"{name!r} must be a list of strings")
    return found + (_of_model(fields) if kind == "model" else _of_space(fields))


def _of_model(fields: dict[str, Any]) -> list[str]:
    found = []
    if fields.get("pipeline_tag", "image-classification") != "image-classification":
        found.append(f"the task {fields['pipeline_tag']!r} is not ours")
    for entry in fields.get("model-index", []):
        found += [f"model-index: no {name}" for name in ("name", "results") if not entry.get(name)]
        for result in entry.get("results", []):
            for path in ("task.type", "dataset.type", "dataset.name"):
                part, name = path.split(".")
                if not isinstance(result.get(part, {}).get(name), str):
                    found.append(f"model-index: {path} must be a string")
            if not _ID.fullmatch(str(result.get("dataset", {}).get("type"))):
                found.append("model-index: dataset.type is no id")
            if not result.get("metrics"):
                found.append("model-index: no metrics")
            for metric in result.get("metrics", []):
                if not isinstance(metric.get("type"), str) or not isinstance(metric.get("value"), int | float):
                    found.append("model-index: a metric needs a type and a number")
    return found


def _of_space(fields: dict[str, Any]) -> list[str]:
    found = [f"{name} must be a colour" for name in ("colorFrom", "colorTo") if fields.get(name, "red") not in _COLOURS]
    if fields.get("sdk", "gradio") not in ("gradio", "docker", "static", "streamlit"):
        found.append(f"sdk is {fields['sdk']!r}")
    if re.search(r"[\w\s]", fields.get("emoji", "")):
        found.append("emoji must be one")
    if not re.fullmatch(r"3\.\d+(\.\d+)?", str(fields.get("python_version", "3.11"))):
        found.append("python_version must be 3.x or 3.x.x")
    on_zero_gpu = fields.get("suggested_hardware") == "zero-a10g"
    if on_zero_gpu and not re.match(r"3\.1[02]\b", str(fields.get("python_version", "3.10"))):
        found.append("ZeroGPU has Python 3.10 and 3.12 only")
    if len(fields.get("short_description", "")) > 60:
        found.append("short_description must have 60 characters or fewer")
    found += [f"{scope!r} is no scope" for scope in fields.get("hf_oauth_scopes", []) if scope not in _SCOPES]
    return found
