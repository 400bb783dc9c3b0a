"""What a handler meets, on the loopback interface: moto for S3 and ECR, and one server of ours for what answers else.

Ours is CloudFormation's address for answers, CodeBuild (as its clients speak it), a git server with what the real git
says, and a place for releases.
"""

import hashlib
import io
import json
import socket
import subprocess
import threading
import types
import uuid
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

HANDLERS = Path(__file__).resolve().parents[2] / "infra" / "handlers"
SECRET = "X-Amz-Signature-that-nobody-may-see"
ACCOUNT, REGION = "123456789012", "eu-west-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/stack-containers"
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/algotrading/0d3e2f60-0000-11ef-8000-0a1b2c3d4e5f"
FUNCTIONS = ["plan-session", "run-query"]


def text(name: str) -> str:
    """A function's source as the template has it."""
    return (HANDLERS / "answer.py").read_text() + "\n" + (HANDLERS / name).read_text()


class Context:
    def __init__(self, seconds: float = 600):
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> float:
        return self.seconds * 1000


class Refused(Exception):
    """What the pretended CodeBuild answers with an error."""


class CodeBuild:
    """Builds by name, which end when a test says so."""

    def __init__(self):
        self.builds, self.tokens, self.started, self.stopped, self.refusal = {}, {}, [], [], None

    def StartBuild(self, wanted: dict) -> dict:
        if self.refusal:
            raise Refused(*self.refusal)
        token = wanted["idempotencyToken"]
        if token not in self.tokens:
            id_ = f"{wanted['projectName']}:{uuid.uuid4()}"
            self.tokens[token] = id_
            self.started.append(wanted)
            self.builds[id_] = {"id": id_, "buildStatus": "IN_PROGRESS", "logs": {"deepLink": "https://console/log"}}
        return {"build": self.builds[self.tokens[token]]}

    def BatchGetBuilds(self, wanted: dict) -> dict:
        return {"builds": [self.builds[id_] for id_ in wanted["ids"] if id_ in self.builds]}

    def StopBuild(self, wanted: dict) -> dict:
        self.stopped.append(wanted["id"])
        return {"build": self.builds[wanted["id"]]}


class World:
    """The servers, and what a test says and asks."""

    def __init__(self, url: str, moto: str, folder: Path):
        self.url, self.folder = url, folder
        self.codebuild = CodeBuild()
        self.answers, self.refuse_answers, self.tries = [], [], 0
        self.files, self.moved, self.cut, self.git, self.asked = {}, {}, {}, {}, []
        self.s3, self.ecr = (boto3.client(name, endpoint_url=moto) for name in ("s3", "ecr"))
        self.bucket = f"artifacts-{uuid.uuid4().hex}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def load(self, name: str, plain: bool = True):
        module = types.ModuleType("index")
        exec(compile(text(name), "index.py", "exec"), module.__dict__)
        module.PAUSES = (0, 0, 0)
        if plain:
            module.PLAIN_HOSTS = frozenset({"127.0.0.1"})
        return module

    def request(self, kind: str = "Create", physical: str | None = None, **properties) -> dict:
        name = "Artifacts"
        return {
            "RequestType": kind, "ResponseURL": f"{self.url}/answer?{SECRET}", "StackId": STACK,
            "RequestId": str(uuid.uuid4()), "LogicalResourceId": name, "ResourceType": f"Custom::{name}",
            "ResourceProperties": {"ServiceToken": "arn", **properties},
        } | ({"PhysicalResourceId": physical} if physical else {})

    def build(self, kind: str = "Create", revision: str = "main", **changed) -> dict:
        return self.request(kind, changed.pop("physical", None), **{
            "Mode": "build", "Bucket": self.bucket, "Project": "stack-build", "Repository": f"{self.url}/git/repository",
            "Revision": revision, "ImageRepository": REPOSITORY, "Functions": FUNCTIONS,
        } | changed)

    def release(self, manifest: dict, kind: str = "Create", **changed) -> dict:
        self.files["manifest.json"] = body = json.dumps(manifest).encode()
        return self.request(kind, **{
            "Mode": "release", "Bucket": self.bucket, "ReleaseUrl": f"{self.url}/release",
            "ReleaseSha256": hashlib.sha256(body).hexdigest(), "Functions": FUNCTIONS,
        } | changed)

    def event(self, id_: str, status: str) -> dict:
        """What EventBridge sends."""
        return {
            "detail-type": "CodeBuild Build State Change", "source": "aws.codebuild", "detail": {
                "build-status": status, "project-name": "stack-build",
                "build-id": f"arn:aws:codebuild:{REGION}:{ACCOUNT}:build/{id_}",
            },
        }

    def leave(self, commit: str, functions=FUNCTIONS, image: bool = True) -> str:
        """What a build leaves; the digest of its image."""
        for name in functions:
            self.s3.put_object(Bucket=self.bucket, Key=f"build/{commit}/{name}.zip", Body=b"zip")
        if not image:
            return ""
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": f"sha256:{commit}{'0' * 24}",
        }, "layers": []})
        put = self.ecr.put_image(repositoryName="stack-containers", imageManifest=manifest, imageTag=commit)
        return put["image"]["imageId"]["imageDigest"]

    def keys(self, prefix: str = "") -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])]

    def answer(self) -> dict:
        """The one answer that CloudFormation got."""
        assert len(self.answers) == 1, self.answers
        return self.answers.pop()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    @property
    def world(self) -> World:
        return self.server.world

    def say(self, status: int, body: bytes = b"", **headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self):
        body, self.world.tries = self.body(), self.world.tries + 1
        # What a type of content would do to a signed address of S3.
        if not self.path.startswith("/answer?") or self.headers.get("Content-Type"):
            return self.say(403)
        if self.world.refuse_answers:
            return self.say(self.world.refuse_answers.pop(0))
        assert len(body) < 4096
        self.world.answers.append(json.loads(body))
        return self.say(200)

    def do_GET(self):
        self.world.asked.append(self.path)
        path = self.path.removeprefix("/git/").removeprefix("/release/")
        if self.path in self.world.moved:
            return self.say(302, Location=self.world.moved[self.path])
        if self.path.startswith("/release/") and path in self.world.files:
            body = self.world.files[path]
            return self.say(200, body[: self.world.cut.get(self.path)], **{"Content-Length": str(len(body))})
        if path in self.world.git:
            return self.say(200, self.world.git[path])
        return self.say(404)

    def do_POST(self):
        operation = self.headers["X-Amz-Target"].removeprefix("CodeBuild_20161006.")
        try:
            return self.say(200, json.dumps(getattr(self.world.codebuild, operation)(json.loads(self.body()))).encode())
        except Refused as refused:
            kind, message = refused.args
            return self.say(400, json.dumps({"__type": kind, "message": message}).encode())


@pytest.fixture(scope="session")
def servers():
    moto, ours = ThreadedMotoServer(ip_address="127.0.0.1", port=0), ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    moto.start()
    threading.Thread(target=ours.serve_forever, daemon=True).start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}", ours
    ours.shutdown()
    ours.server_close()
    moto.stop()


@pytest.fixture
def world(servers, monkeypatch, tmp_path):
    moto, ours = servers
    url = f"http://127.0.0.1:{ours.server_address[1]}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-environment", "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": moto, "AWS_ENDPOINT_URL_CODEBUILD": url,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    made = ours.world = World(url, moto, tmp_path)
    monkeypatch.setenv("BUCKET", made.bucket)
    made.ecr.create_repository(repositoryName="stack-containers")
    yield made
    made.ecr.delete_repository(repositoryName="stack-containers", force=True)


@pytest.fixture
def index(world):
    return world.load("artifacts.py")


@pytest.fixture
def unused() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def commits(world) -> dict[str, str]:
    """A repository with a branch, a light tag and one with an object of its own, told as git tells it over HTTP."""
    folder = world.folder / "repository"

    def git(*words: str) -> str:
        author = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(["git", *author, "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()

    folder.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    made = {}
    for name in ("first", "second", "third"):
        git("commit", "--quiet", "--allow-empty", "-m", name)
        made[name] = git("rev-parse", "HEAD")
    git("tag", "light", made["first"])
    git("tag", "-a", "v1", "-m", "one", made["second"])
    git("branch", "twice", made["first"])
    git("tag", "twice", made["second"])
    world.git["repository/info/refs?service=git-upload-pack"] = advertised(folder)
    return made


def advertised(folder: Path) -> bytes:
    said = subprocess.run(["git", "upload-pack", "--stateless-rpc", "--advertise-refs", folder], check=True, capture_output=True)
    return b"001e# service=git-upload-pack\n0000" + said.stdout


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        # Without a time the same name gives the same bytes.
        archive.writestr(zipfile.ZipInfo("bootstrap"), name)
    return out.getvalue()
