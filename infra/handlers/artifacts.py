"""`Custom::Artifacts`: the functions' zips and the containers' image, built of a commit or taken from a release.

A build lasts longer than a function may: what is needed to answer waits in the bucket, and the event of the build's end
calls this function again. An event names no bucket, so the environment does: `BUCKET`.
"""

import hashlib
import http.client
import os
import tempfile
import urllib.parse

# What this may be read from without TLS. Only the tests name a host: a function's own machine has a secret one.
PLAIN_HOSTS: frozenset[str] = frozenset()
MANIFEST_BYTES_MAX = 1 << 20
REFS_BYTES_MAX = 64 << 20
# What Lambda takes; the disk of a function holds ten of them.
ZIP_BYTES_MAX = 50 << 20
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
IMAGE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
BY_DIGEST = "the manifest's image is `{}`, and must be named by its digest: repository@sha256:<64 digits>"
QUOTA = (
    "New accounts may run no builds: ask for concurrently running builds of the project's kind of machine in Service "
    "Quotas, AWS CodeBuild, or deploy a release with ArtifactMode=release."
)


def handler(event: dict, context) -> None:
    """A request of CloudFormation, the end of a build, or a schedule's look at builds whose end nobody told."""
    if "RequestType" in event:
        print(f"{event['RequestType']} {event['LogicalResourceId']}")
        build = answering(event, context, lambda: requested(event))
        if build:
            # It may have ended before its file was there, and the event found nobody waiting.
            told(event["ResourceProperties"]["Bucket"], build, "", context)
    elif event.get("detail-type") == "CodeBuild Build State Change":
        # arn:aws:codebuild:REGION:ACCOUNT:build/PROJECT:UUID
        told(os.environ["BUCKET"], uuid(event["detail"]["build-id"]), event["detail"]["build-status"], context)
    else:
        for key in keys(os.environ["BUCKET"], "pending/"):
            try:
                told(os.environ["BUCKET"], key.removeprefix("pending/").removesuffix(".json"), "", context)
            except Undelivered as error:
                print(f"{key}: {error}")


def uuid(build: str) -> str:
    return build.rpartition(":")[2]


def requested(request: dict) -> dict | str:
    """A resource's data, or the build that will have it."""
    properties = request["ResourceProperties"]
    try:
        stop_earlier(request)
    except Exception as error:
        # A build that nobody waits for costs little; a stack that cannot be deleted costs a person's day.
        print(f"builds of earlier requests were not looked for: {sentence(error)}")
    if request["RequestType"] == "Delete":
        return {}
    if properties["Mode"] == "release":
        return release(properties)
    if properties["Mode"] != "build":
        raise Failed(f"Mode is `{properties['Mode']}`, and must be build or release.")
    commit = resolve(properties["Repository"], properties["Revision"])
    return start(request, commit) if missing(properties, commit) else built(properties, commit)


# --- a build


def start(request: dict, commit: str) -> str:
    """Starts a build and leaves what is needed to answer when it ends."""
    properties, codebuild = request["ResourceProperties"], client("codebuild")
    try:
        build = codebuild.start_build(
            projectName=properties["Project"],
            # The project has no source of its own, which would have to be of a provider that CodeBuild knows.
            environmentVariablesOverride=[
                {"name": "PREFIX", "value": f"build/{commit}", "type": "PLAINTEXT"},
                {"name": "IMAGE_TAG", "value": commit, "type": "PLAINTEXT"},
            ],
            # Lambda may call twice with one request; the commit is in it because a branch may move in between.
            idempotencyToken=f"{request['RequestId']}-{commit[:12]}",
        )["build"]["id"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccountLimitExceededException":
            raise Failed(f"{str(error).rstrip('.')}. {QUOTA}") from None
        raise
    print(f"build {build} of {commit}")
    waiting = {"Build": build, "Commit": commit, "Request": request}
    try:
        put(properties, f"pending/{uuid(build)}.json", json.dumps(waiting).encode())
    except BaseException:
        # Nobody would hear of its end.
        codebuild.stop_build(id=build)
        raise
    return uuid(build)


def told(bucket: str, build: str, status: str, context) -> None:
    """Answers the request that waits for a build, if one does and the build has ended."""
    s3, key = client("s3"), f"pending/{build}.json"
    try:
        waiting = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            print(f"nobody waits for build {build}")
            return
        raise
    if not answering(waiting["Request"], context, lambda: ended(waiting, status)):
        # Last, so that an answer that was not delivered is tried again.
        s3.delete_object(Bucket=bucket, Key=key)


def ended(waiting: dict, status: str) -> dict | str:
    """What came of a build, or its name while it runs."""
    name, commit, properties = waiting["Build"], waiting["Commit"], waiting["Request"]["ResourceProperties"]
    found = client("codebuild").batch_get_builds(ids=[name])["builds"]
    if not found:
        raise Failed(f"The build {name} is gone; update the stack to start another.")
    # The event may be ahead of the service's own answer.
    state = found[0]["buildStatus"] if found[0]["buildStatus"] != "IN_PROGRESS" else status or "IN_PROGRESS"
    if state == "IN_PROGRESS":
        return name
    if state != "SUCCEEDED":
        raise Failed(why(found[0], state, commit))
    lacking = missing(properties, commit)
    if lacking:
        raise Failed(f"The build {name} succeeded and left no {', '.join(lacking)}; {log(found[0])}")
    return built(properties, commit)


def why(found: dict, state: str, commit: str) -> str:
    """A build's own reasons: the phases that failed, each with what it said."""
    said = []
    for phase in found.get("phases", []):
        if phase.get("phaseStatus", "SUCCEEDED") not in ("SUCCEEDED", "QUEUED", "IN_PROGRESS"):
            messages = "; ".join(context["message"] for context in phase.get("contexts", []) if context.get("message"))
            said.append(f"{phase['phaseType']} ({phase['phaseStatus']}){messages and ': '}{messages}")
    phases = cut(f" in {', '.join(said)}" if said else "", 900)
    return f"The build {found['id']} of {commit} ended as {state}{phases}; {log(found)}"


def log(found: dict) -> str:
    logs = found.get("logs", {})
    group = f"{logs.get('groupName', '')} {logs.get('streamName', '')}".strip()
    return f"its log: {logs.get('deepLink') or group or 'there is none'}"


def missing(properties: dict, commit: str) -> list[str]:
    """What a commit's artifacts lack, in words."""
    there = set(keys(properties["Bucket"], f"build/{commit}/"))
    lacking = [f"{name}.zip" for name in properties["Functions"] if f"build/{commit}/{name}.zip" not in there]
    return lacking if digest(properties, commit) else [*lacking, "image"]


def built(properties: dict, commit: str) -> dict:
    image = f"{properties['ImageRepository']}@{digest(properties, commit)}"
    return {"Prefix": f"build/{commit}", "Image": image, "Revision": commit}


def digest(properties: dict, tag: str) -> str:
    """The digest of an image in ECR; empty when there is none."""
    host, _, repository = properties["ImageRepository"].partition("/")
    try:
        images = client("ecr").describe_images(
            registryId=host.partition(".")[0], repositoryName=repository, imageIds=[{"imageTag": tag}]
        )["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return ""
        raise
    return images[0]["imageDigest"] if images else ""


def stop_earlier(request: dict) -> None:
    """Stops builds of the same resource's earlier requests: CloudFormation no longer waits for them."""
    bucket, s3 = request["ResourceProperties"]["Bucket"], client("s3")
    for key in keys(bucket, "pending/"):
        waiting = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        same = all(waiting["Request"][name] == request[name] for name in ("StackId", "LogicalResourceId"))
        if same and waiting["Request"]["RequestId"] != request["RequestId"]:
            # First, so that the event of the stop finds nobody waiting.
            s3.delete_object(Bucket=bucket, Key=key)
            client("codebuild").stop_build(id=waiting["Build"])
            print(f"stopped build {waiting['Build']}")


# --- a revision


def resolve(repository: str, revision: str) -> str:
    """The commit that a branch, a tag or a commit names."""
    if COMMIT.fullmatch(revision.lower()):
        return revision.lower()
    url = f"{repository.removesuffix('/')}/info/refs?service=git-upload-pack"
    body = b"".join(fetch(url, "the repository's branches and tags", REFS_BYTES_MAX))
    refs = parse_refs(body)
    # A tag may be an object of its own; what it stands for is told beside it.
    found = {
        refs.get(f"{name}^{{}}", refs[name])
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}") if name in refs
    }
    if len(found) == 1:
        return found.pop()
    if found:
        raise Failed(f"`{revision}` is a branch and a tag; say refs/heads/{revision} or refs/tags/{revision}.")
    named = [name for name in refs if name.startswith(("refs/heads/", "refs/tags/")) and not name.endswith("^{}")]
    there = ", ".join(name.split("/", 2)[2] for name in named[:10])
    there += f" and {len(named) - 10} more" if len(named) > 10 else ""
    raise Failed(
        f"The repository has no branch or tag `{revision}`. It has {there or 'none at all'}; "
        "name one of them, or a commit with all its 40 digits."
    )


def parse_refs(body: bytes) -> dict[str, str]:
    """The names that a git server lists, each with its object (gitprotocol-http, "smart" reply)."""
    lines, at = [], 0
    try:
        while at < len(body):
            # Four digits of length, themselves counted; fewer than four mean a break.
            length = int(body[at : at + 4], 16)
            lines.append(body[at + 4 : at + length] if length >= 4 else b"")
            if length > len(body) - at:
                raise ValueError
            at += max(length, 4)
    except ValueError:
        lines = []
    if not lines or lines[0].strip() != b"# service=git-upload-pack":
        raise Failed("The repository does not answer as a git server; give its address as `git clone` takes it.")
    pairs = [line.partition(b"\0")[0].decode(errors="replace").split() for line in lines[1:] if line]
    # An empty repository lists what it is capable of as a name.
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and pair[1] != "capabilities^{}"}


# --- a release


def release(properties: dict) -> dict:
    base, wanted = properties["ReleaseUrl"].rstrip("/"), properties["ReleaseSha256"].lower()
    if not SHA256.fullmatch(wanted):
        raise Failed("ReleaseSha256 must be the SHA-256 of the release's manifest.json, 64 digits.")
    body = b"".join(fetch(f"{base}/manifest.json", "manifest.json", MANIFEST_BYTES_MAX))
    found = hashlib.sha256(body).hexdigest()
    if found != wanted:
        raise Failed(f"The manifest's SHA-256 is {found}, and ReleaseSha256 is {wanted}; nothing was taken.")
    try:
        manifest = json.loads(body)
        version, image = str(manifest["version"]), str(manifest["image"])
        functions = {name: (str(entry["file"]), str(entry["sha256"])) for name, entry in manifest["functions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed("The manifest has the sum and not the shape of a release's: version, image, functions.") from None
    if not IMAGE.fullmatch(image):
        raise Failed(BY_DIGEST.format(image))
    lacking = [name for name in properties["Functions"] if name not in functions]
    if lacking:
        raise Failed(f"The release {version} has no {', '.join(lacking)}; deploy it with its own template.")
    with tempfile.TemporaryDirectory() as folder:
        # All are found good before the first is put where functions are made of.
        for name in properties["Functions"]:
            file, sum_ = functions[name]
            if not NAME.fullmatch(file):
                raise Failed(f"The manifest's file of {name} is `{file}`, which is no file's name.")
            fetch_zip(f"{base}/{file}", name, sum_, os.path.join(folder, name))
        for name in properties["Functions"]:
            with open(os.path.join(folder, name), "rb") as file:
                put(properties, f"release/{found}/{name}.zip", file)
    return {"Prefix": f"release/{found}", "Image": image, "Revision": version}


def fetch_zip(url: str, name: str, wanted: str, place: str) -> None:
    hashed = hashlib.sha256()
    with open(place, "wb") as file:
        for part in fetch(url, f"{name}.zip", ZIP_BYTES_MAX):
            hashed.update(part)
            file.write(part)
    if hashed.hexdigest() != wanted.lower():
        raise Failed(f"{name}.zip has the SHA-256 {hashed.hexdigest()}, and not the manifest's {wanted}; nothing was taken.")


# --- reading and writing


def keys(bucket: str, prefix: str) -> list[str]:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", []) if entry["Size"]]


def put(properties: dict, key: str, body) -> None:
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": properties["KeyId"]} if properties.get("KeyId") else {}
    client("s3").put_object(Bucket=properties["Bucket"], Key=key, Body=body, **encryption)


class Careful(urllib.request.HTTPRedirectHandler):
    """Follows only to where one may begin."""

    def redirect_request(self, request, file, code, message, headers, new):
        guard(new)
        return super().redirect_request(request, file, code, message, headers, new)


def guard(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        raise Failed("An address must have no user or password in it: it would be read by many.")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in PLAIN_HOSTS):
        raise Failed(f"`{parts.scheme}://{parts.hostname}` is not read: only https is.")


def fetch(url: str, what: str, bytes_max: int):
    """What an address answers, part by part."""
    guard(url)
    request = urllib.request.Request(url, headers={"User-Agent": "git/2.0"})
    host, size = urllib.parse.urlsplit(url).hostname, 0
    try:
        with urllib.request.build_opener(Careful).open(request, timeout=20) as reply:
            while part := reply.read(1 << 20):
                size += len(part)
                if size > bytes_max:
                    raise Failed(f"{host} answers more than {bytes_max} bytes for {what}.")
                yield part
            if reply.length:
                raise Failed(f"{host} broke off in the middle of {what}; try again.")
    except urllib.error.HTTPError as error:
        raise Failed(f"{host} answers {error.code} for {what}: it must be there, and public.") from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{host} cannot be asked for {what}: {getattr(error, 'reason', error)}.") from None
