"""Answers of the local Hub about Jobs and buckets."""

from pathlib import Path
from typing import Any

from tests.hub.answers import Call, route
from tests.hub.cluster import Job
from tests.hub.contents import MAY_WRITE, Answer, Refusal

JOB = "/api/jobs/(?P<id>[^/]+)/(?P<path>[^/]+)"
BUCKET = "(?P<id>[^/]+/[^/]+)"
HARDWARE = {  # name: GPU, how many of them, dollars an hour
    "cpu-basic": (None, 0, 0.01),
    "t4-small": ("T4", 1, 0.40),
    "l4x1": ("L4", 1, 0.80),
    "a10g-largex2": ("A10G", 2, 3.00),
    "l4x4": ("L4", 4, 3.80),
}


def renter(call: Call, namespace: str) -> None:
    """Raise Refusal if the token may not start or see Jobs of a user or an organisation."""
    if not call.token:
        raise Refusal(401, "Invalid username or password.")
    if namespace not in (call.token.user, *call.token.orgs) or not call.token.jobs:
        raise Refusal(403, "This token may not use Jobs")


def job(call: Call) -> Job:
    renter(call, call.id)
    for one in call.hub.cluster.jobs:
        if (one.owner, one.id) == (call.id, call.path):
            return one
    raise Refusal(404, "Job not found")


@route("GET", "/api/jobs/hardware")
def hardware(call: Call) -> Any:
    found = []
    for name, (gpu, count, dollars) in HARDWARE.items():
        fields = {"name": name, "prettyName": name.upper(), "cpu": "4 vCPU", "ram": "15 GB", "unitLabel": "minute"}
        fields |= {"unitCostMicroUSD": round(dollars / 60 * 1e6), "unitCostUSD": dollars / 60}  # type: ignore[dict-item]
        accelerator = {"type": "gpu", "model": gpu, "quantity": str(count), "vram": "16 GB", "manufacturer": "Nvidia"}
        found.append(fields | ({"accelerator": accelerator} if gpu else {}))
    return found


@route("POST", "/api/jobs/(?P<id>[^/]+)")
def create(call: Call) -> Any:
    renter(call, call.id)
    if not call.token.credit:
        raise Refusal(402, "Pre-paid credit balance is insufficient")
    spec, code = call.json, {}
    for volume in spec["volumes"]:
        if volume["type"] == "model":
            call.kind, call.id, namespace = "models", volume["source"], call.id
            code = {name: file.content for name, file in call.repo().at(volume["revision"]).files.items()}
            call.id = namespace
        elif not call.hub.cluster.bucket(volume["source"]).is_dir():
            raise Refusal(404, "Bucket not found")
    started = Job(call.id, spec)
    call.hub.cluster.start(started, code)
    return started.described()


@route("GET", "/api/jobs/(?P<id>[^/]+)")
def listed(call: Call) -> Any:
    renter(call, call.id)
    stages = [value for name, value in call.pairs if name == "stage"]
    labels = [value.partition("=")[::2] for name, value in call.pairs if name == "label"]
    return [
        one.described()
        for one in call.hub.cluster.jobs
        if one.owner == call.id and one.stage in stages and all(one.spec["labels"].get(k) == v for k, v in labels)
    ]


@route("GET", JOB)
def inspected(call: Call) -> Any:
    return job(call).described()


@route("GET", f"{JOB}/logs")
def log(call: Call) -> Answer:
    return Answer(headers={"Content-Type": "text/event-stream"}, stream=call.hub.cluster.log(job(call)))


@route("POST", f"{JOB}/cancel")
def cancelled(call: Call) -> Any:
    job(call).cancel()
    return {}


@route("POST", f"/api/buckets/{BUCKET}")
def create_bucket(call: Call) -> Any:
    call.kind, namespace = "buckets", call.id.split("/")[0]
    if not call.token:
        raise Refusal(401, "Invalid username or password.")
    if not call.token.may(MAY_WRITE, "models", f"{namespace}/"):
        raise Refusal(403, "Forbidden")
    folder, url = call.hub.cluster.bucket(call.id), f"{call.hub.url}/buckets/{call.id}"
    if folder.is_dir():
        return Answer.json({"error": "You already created this bucket", "url": url}, 409)
    folder.mkdir(parents=True)
    (folder.parent / f".{folder.name}").write_text(call.json.get("visibility", "public"))
    return {"url": url}


@route("GET", f"/buckets/{BUCKET}/resolve/(?P<path>.+)")
def resolve(call: Call) -> Answer:
    """Redirect to the storage, which is another host and takes no token."""
    if not call.token or call.token.user != call.id.split("/")[0]:
        raise Refusal(401, "Invalid username or password.", "RepoNotFound")
    file: Path = call.hub.cluster.bucket(call.id) / call.path
    if not file.is_file():
        raise Refusal(404, "Entry not found", "EntryNotFound")
    target = f"{call.hub.url.replace('127.0.0.1', 'localhost')}/storage/{call.id}/{call.path}"
    return Answer(302, headers={"Location": target})


@route("GET", f"/storage/{BUCKET}/(?P<path>.+)")
def stored(call: Call) -> Answer:
    if call.token:
        raise Refusal(400, "A token was sent to the storage")
    return Answer(body=(call.hub.cluster.bucket(call.id) / call.path).read_bytes())
