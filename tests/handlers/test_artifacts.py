"""`Custom::Artifacts`, as CloudFormation, CodeBuild and EventBridge call it."""

import hashlib
import json
import subprocess
import time

import pytest
from conftest import FUNCTIONS, REPOSITORY, SECRET, STACK, Context, Refused, advertised, zipped

DIGEST = f"registry.example/containers@sha256:{'a' * 64}"


def start(world, index, **changed) -> tuple[dict, str]:
    """A request whose build has begun; the build's name."""
    request = world.build(**changed)
    index.handler(request, Context())
    assert not world.answers
    return request, list(world.codebuild.builds)[-1]


def end(world, index, id_: str, status: str, **more) -> None:
    world.codebuild.builds[id_] |= {"buildStatus": status, **more}
    index.handler(world.event(id_, status), Context())


def failed(world) -> str:
    answer = world.answer()
    assert answer["Status"] == "FAILED" and answer["Data"] == {}
    return answer["Reason"]


# --- a build


def test_a_build_is_answered_when_it_ends(world, index, commits):
    request, id_ = start(world, index)
    commit = commits["third"]
    wanted = world.codebuild.started[0]
    assert wanted["projectName"] == "stack-build" and "sourceVersion" not in wanted
    overrides = {one["name"]: one["value"] for one in wanted["environmentVariablesOverride"]}
    assert overrides == {"PREFIX": f"build/{commit}", "IMAGE_TAG": commit}
    assert world.keys() == [f"pending/{id_.partition(':')[2]}.json"]

    image = world.leave(commit)
    end(world, index, id_, "SUCCEEDED")
    answer = world.answer()
    assert answer.pop("PhysicalResourceId") == "Artifacts-0d3e2f60-0000-11ef-8000-0a1b2c3d4e5f"
    assert answer == {
        "Status": "SUCCESS", "Reason": "done", "StackId": STACK, "RequestId": request["RequestId"],
        "LogicalResourceId": "Artifacts",
        "Data": {"Prefix": f"build/{commit}", "Image": f"{REPOSITORY}@{image}", "Revision": commit},
    }
    assert world.keys("pending/") == []


def test_an_update_keeps_the_resource(world, index, commits):
    world.leave(commits["first"])
    index.handler(world.build("Update", "light", physical="what-it-was"), Context())
    assert world.answer()["PhysicalResourceId"] == "what-it-was"


def test_what_was_built_before_is_not_built_again(world, index, commits):
    image = world.leave(commits["third"])
    index.handler(world.build(), Context())
    assert world.answer()["Data"]["Image"] == f"{REPOSITORY}@{image}"
    assert not world.codebuild.started


@pytest.mark.parametrize("left", [{"functions": FUNCTIONS[:1]}, {"image": False}])
def test_what_is_not_all_there_is_built(world, index, commits, left):
    world.leave(commits["third"], **left)
    start(world, index)
    assert len(world.codebuild.started) == 1


def test_a_zip_of_nothing_is_none(world, index, commits):
    world.leave(commits["third"])
    world.s3.put_object(Bucket=world.bucket, Key=f"build/{commits['third']}/run-query.zip", Body=b"")
    start(world, index)
    assert len(world.codebuild.started) == 1


def test_a_build_that_left_less_than_it_should_fails(world, index, commits):
    _, id_ = start(world, index)
    world.leave(commits["third"], functions=FUNCTIONS[:1], image=False)
    end(world, index, id_, "SUCCEEDED")
    reason = failed(world)
    assert "left no run-query.zip, image" in reason and "https://console/log" in reason


def test_a_failed_build_says_why(world, index, commits):
    _, id_ = start(world, index)
    end(world, index, id_, "FAILED", phases=[
        {"phaseType": "DOWNLOAD_SOURCE", "phaseStatus": "SUCCEEDED", "contexts": [{"message": "all well"}]},
        {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [
            {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "Error while executing command: docker build. Reason: exit status 1"},
        ]},
        {"phaseType": "COMPLETED"},
    ])
    assert failed(world) == (
        f"The build {id_} of {commits['third']} ended as FAILED in BUILD (FAILED): Error while executing command: "
        "docker build. Reason: exit status 1; its log: https://console/log"
    )
    assert world.keys("pending/") == []


@pytest.mark.parametrize("status", ["STOPPED", "TIMED_OUT", "FAULT"])
def test_however_a_build_ends_it_is_told(world, index, commits, status):
    _, id_ = start(world, index)
    end(world, index, id_, status, logs={"groupName": "/aws/codebuild/stack-build", "streamName": "s"})
    reason = failed(world)
    assert f"ended as {status}" in reason and "/aws/codebuild/stack-build s" in reason


def test_an_event_may_be_ahead_of_the_service(world, index, commits):
    _, id_ = start(world, index)
    index.handler(world.event(id_, "STOPPED"), Context())
    assert "ended as STOPPED" in failed(world)


def test_a_long_reason_is_cut_and_keeps_the_log(world, index, commits):
    _, id_ = start(world, index)
    end(world, index, id_, "FAILED", phases=[{"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": "ü" * 5000}]}])
    reason = failed(world)
    assert len(reason) < 1000 and "ü ..." in reason


def test_a_quota_of_no_builds_is_passed_on_with_what_to_do(world, index, commits):
    world.codebuild.refusal = "AccountLimitExceededException", "Cannot have more than 0 builds in queue for the account"
    index.handler(world.build(), Context())
    reason = failed(world)
    assert "AccountLimitExceededException" in reason and "Cannot have more than 0 builds in queue for the account. New" in reason
    assert "Service Quotas" in reason and "ArtifactMode=release" in reason
    assert world.keys() == []


def test_what_codebuild_refuses_is_passed_on(world, index, commits):
    world.codebuild.refusal = "ResourceNotFoundException", "Project cannot be found: stack-build"
    index.handler(world.build(), Context())
    assert failed(world) == (
        "An error occurred (ResourceNotFoundException) when calling the StartBuild operation: "
        "Project cannot be found: stack-build"
    )


def test_the_same_event_twice_is_answered_once(world, index, commits):
    _, id_ = start(world, index)
    world.leave(commits["third"])
    for _ in range(2):
        end(world, index, id_, "SUCCEEDED")
    assert world.answer()["Status"] == "SUCCESS"


def test_a_build_that_nobody_waits_for_is_nobodys(world, index, capsys):
    index.handler(world.event("stack-build:0", "FAILED"), Context())
    assert not world.answers and "nobody waits for build 0" in capsys.readouterr().out


def test_a_build_may_end_before_anybody_waits(world, index, commits):
    begin = world.codebuild.StartBuild

    def and_end(wanted: dict) -> dict:
        begun = begin(wanted)
        # The event comes first, and finds nobody.
        index.handler(world.event(begun["build"]["id"], "FAILED"), Context())
        assert not world.answers
        world.codebuild.builds[begun["build"]["id"]]["buildStatus"] = "FAILED"
        return {"build": begun["build"] | {"buildStatus": "IN_PROGRESS"}}

    world.codebuild.StartBuild = and_end
    index.handler(world.build(), Context())
    assert "ended as FAILED" in failed(world)
    assert world.keys("pending/") == []


def test_an_event_that_never_came_is_made_up_for(world, index, commits):
    _, id_ = start(world, index)
    sweep = {"detail-type": "Scheduled Event", "source": "aws.events"}
    index.handler(sweep, Context())
    assert not world.answers and len(world.keys("pending/")) == 1
    world.codebuild.builds[id_]["buildStatus"] = "STOPPED"
    index.handler(sweep, Context())
    assert "ended as STOPPED" in failed(world)
    assert world.keys("pending/") == []


def test_one_that_cannot_be_told_does_not_keep_the_others(world, index, commits):
    start(world, index)
    other = world.build()
    other["StackId"] += "-other"
    index.handler(other, Context())
    for build in world.codebuild.builds.values():
        build["buildStatus"] = "STOPPED"
    world.refuse_answers = [500] * 4
    index.handler({"detail-type": "Scheduled Event", "source": "aws.events"}, Context())
    assert "ended as STOPPED" in failed(world)
    assert len(world.keys("pending/")) == 1


def test_a_request_that_comes_twice_has_one_build(world, index, commits):
    request = world.build()
    for _ in range(2):
        index.handler(request, Context())
    assert len(world.codebuild.started) == 1 and not world.codebuild.stopped and len(world.keys("pending/")) == 1


def test_a_build_that_nobody_could_hear_of_is_stopped(world, index, commits, monkeypatch):
    def put(*_):
        raise index.Failed("no room")

    index.put = put
    index.handler(world.build(), Context())
    assert failed(world) == "no room"
    assert world.codebuild.stopped == list(world.codebuild.builds)


@pytest.mark.parametrize("kind", ["Delete", "Update"])
def test_a_later_request_stops_the_build_of_an_earlier(world, index, commits, kind):
    _, id_ = start(world, index)
    other = world.build()
    other["StackId"] += "-other"
    index.handler(other, Context())
    kept = list(world.codebuild.builds)[-1]
    if kind == "Update":
        world.leave(commits["first"])
    index.handler(world.build(kind, "light"), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert world.codebuild.stopped == [id_]
    assert world.keys("pending/") == [f"pending/{kept.partition(':')[2]}.json"]
    # What the stop itself tells is told to nobody.
    end(world, index, id_, "STOPPED")
    assert not world.answers


def test_a_deletion_succeeds_whatever_there_is(world, index, capsys):
    for properties in ({}, {"Bucket": "gone-long-ago"}, {"Bucket": world.bucket}):
        index.handler(world.request("Delete", "never-made", **properties), Context())
        assert world.answer()["Status"] == "SUCCESS"
    assert "NoSuchBucket" in capsys.readouterr().out


def test_a_deletion_succeeds_where_a_build_cannot_be_stopped(world, index, commits, capsys):
    def refuse(_):
        raise Refused("AccessDeniedException", "not you")

    start(world, index)
    world.codebuild.StopBuild = refuse
    index.handler(world.build("Delete"), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert "not you" in capsys.readouterr().out


# --- a revision


@pytest.mark.parametrize(("revision", "commit"), [
    ("main", "third"), ("refs/heads/main", "third"), ("HEAD", "third"), ("light", "first"), ("v1", "second"),
    ("refs/tags/v1", "second"), ("refs/heads/twice", "first"), ("refs/tags/twice", "second"),
])
def test_a_revision_is_a_branch_or_a_tag(world, index, commits, revision, commit):
    assert index.resolve(f"{world.url}/git/repository/", revision) == commits[commit]


def test_a_whole_commit_is_asked_of_nobody(world, index):
    assert index.resolve(f"{world.url}/nowhere", "ABCDEF" + "0" * 34) == "abcdef" + "0" * 34
    assert not world.asked


def test_an_unknown_revision_is_named_with_those_that_are(world, index, commits):
    index.handler(world.build(revision="mian"), Context())
    assert failed(world) == (
        "The repository has no branch or tag `mian`. It has main, twice, light, twice, v1; "
        "name one of them, or a commit with all its 40 digits."
    )
    assert not world.codebuild.started


def test_two_commits_of_one_name_are_not_chosen_from(world, index, commits):
    index.handler(world.build(revision="twice"), Context())
    assert "refs/heads/twice or refs/tags/twice" in failed(world)


def test_an_empty_repository_has_nothing(world, index, tmp_path):
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty"], check=True)
    world.git["repository/info/refs?service=git-upload-pack"] = advertised(tmp_path / "empty")
    index.handler(world.build(), Context())
    assert "It has none at all" in failed(world)


@pytest.mark.parametrize("body", [b"<html>", b"", b"001e# service=git-upload-pack\n0000ffffcut", b"001e# service=git-receive-pac\n"])
def test_what_is_no_git_server_is_said(world, index, body):
    world.git["repository/info/refs?service=git-upload-pack"] = body
    index.handler(world.build(), Context())
    assert "does not answer as a git server" in failed(world)


def test_a_git_server_that_is_not_there_is_said(world, index, unused):
    index.handler(world.build(Repository=f"http://127.0.0.1:{unused}/git/repository"), Context())
    assert "127.0.0.1 cannot be asked for the repository's branches and tags" in failed(world)
    index.handler(world.build(Repository=f"{world.url}/git/private"), Context())
    assert "answers 404" in failed(world)


@pytest.mark.parametrize("address", ["http://example.com/r", "file:///etc/passwd", "ftp://127.0.0.1/r"])
def test_only_https_is_read(world, index, address):
    index.handler(world.build(Repository=address), Context())
    assert "only https is" in failed(world)


def test_nothing_is_read_without_tls_outside_of_tests(world, index, commits):
    index = world.load("artifacts.py", plain=False)
    index.handler(world.build(), Context())
    assert "only https is" in failed(world)
    assert not world.asked


def test_a_password_in_an_address_is_refused_and_not_repeated(world, index):
    index.handler(world.build(Repository="https://me:hunter2@127.0.0.1/r"), Context())
    reason = failed(world)
    assert "no user or password" in reason and "hunter2" not in reason


# --- a release


def manifest(world) -> dict:
    world.files |= {f"{name}.zip": zipped(name) for name in FUNCTIONS}
    return {"version": "1.2.0", "image": DIGEST, "functions": {
        name: {"file": f"{name}.zip", "sha256": hashlib.sha256(world.files[f"{name}.zip"]).hexdigest()} for name in FUNCTIONS
    } | {"another": {"file": "another.zip", "sha256": "0" * 64}}}


def test_a_release_is_copied(world, index):
    request = world.release(manifest(world))
    index.handler(request, Context())
    prefix = f"release/{request['ResourceProperties']['ReleaseSha256']}"
    assert world.answer()["Data"] == {"Prefix": prefix, "Image": DIGEST, "Revision": "1.2.0"}
    assert world.keys() == [f"{prefix}/{name}.zip" for name in FUNCTIONS]
    for name in FUNCTIONS:
        assert world.s3.get_object(Bucket=world.bucket, Key=f"{prefix}/{name}.zip")["Body"].read() == zipped(name)


def test_a_release_may_lie_elsewhere_but_only_behind_tls(world, index):
    request = world.release(manifest(world))
    world.moved["/release/run-query.zip"] = "/release/moved.zip"
    world.files["moved.zip"] = world.files.pop("run-query.zip")
    index.handler(request, Context())
    assert world.answer()["Status"] == "SUCCESS"
    world.moved["/release/run-query.zip"] = "http://example.com/moved.zip"
    index.handler(request, Context())
    assert "only https is" in failed(world)


def test_a_key_encrypts_what_is_put(world, index):
    request = world.release(manifest(world), KeyId="arn:aws:kms:eu-west-1:123456789012:key/k")
    index.handler(request, Context())
    head = world.s3.head_object(Bucket=world.bucket, Key=world.keys()[0])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "arn:aws:kms:eu-west-1:123456789012:key/k")


def test_another_manifest_is_refused_with_both_sums(world, index):
    request = world.release(manifest(world))
    found, request["ResourceProperties"]["ReleaseSha256"] = request["ResourceProperties"]["ReleaseSha256"], "b" * 64
    index.handler(request, Context())
    reason = failed(world)
    assert found in reason and "b" * 64 in reason
    assert world.keys() == []


def test_another_zip_is_refused_and_nothing_is_kept(world, index):
    request = world.release(manifest(world))
    world.files["run-query.zip"] += b"more"
    index.handler(request, Context())
    reason = failed(world)
    assert hashlib.sha256(world.files["run-query.zip"]).hexdigest() in reason and hashlib.sha256(zipped("run-query")).hexdigest() in reason
    assert world.keys() == []


@pytest.mark.parametrize(("change", "said"), [
    ({"image": "registry.example/containers:latest"}, "must be named by its digest"),
    ({"functions": {}}, "has no plan-session, run-query"),
    ({"functions": {name: {"file": "../secret", "sha256": "0" * 64} for name in FUNCTIONS}}, "which is no file's name"),
    ({"functions": {name: {"file": "absent.zip", "sha256": "0" * 64} for name in FUNCTIONS}}, "answers 404 for plan-session.zip"),
    ({"functions": ["plan-session"]}, "not the shape"),
    ({"functions": {"plan-session": {}}}, "not the shape"),
])
def test_a_release_that_is_not_one_is_refused(world, index, change, said):
    index.handler(world.release(manifest(world) | change), Context())
    assert said in failed(world)
    assert world.keys() == []


def test_a_release_without_end_is_given_up(world, index):
    index.ZIP_BYTES_MAX = 100
    index.handler(world.release(manifest(world)), Context())
    assert "more than 100 bytes for plan-session.zip" in failed(world)


def test_a_zip_that_breaks_off_is_said(world, index):
    request = world.release(manifest(world))
    world.cut["/release/run-query.zip"] = 10
    index.handler(request, Context())
    reason = failed(world)
    assert "127.0.0.1" in reason and "run-query.zip" in reason and "SHA-256" not in reason
    assert world.keys() == []


def test_a_sum_that_is_none_is_said(world, index):
    index.handler(world.release(manifest(world), ReleaseSha256=""), Context())
    assert "ReleaseSha256 must be" in failed(world)


# --- answering


def test_an_answer_is_tried_again(world, index, commits):
    world.leave(commits["third"])
    world.refuse_answers = [500, 500]
    index.handler(world.build(), Context())
    assert world.answer()["Status"] == "SUCCESS" and world.tries == 3


def test_an_answer_that_is_not_taken_is_another_calls(world, index, commits):
    _, id_ = start(world, index)
    world.leave(commits["third"])
    world.refuse_answers = [500] * 4
    with pytest.raises(index.Undelivered) as raised:
        end(world, index, id_, "SUCCEEDED")
    assert str(raised.value) == "CloudFormation did not take the answer: status 500"
    # Lambda calls again with the same event.
    end(world, index, id_, "SUCCEEDED")
    assert world.answer()["Status"] == "SUCCESS"


def test_an_unknown_mode_and_a_lacking_property_are_answered(world, index):
    index.handler(world.request(Mode="guess", Bucket=world.bucket), Context())
    assert "must be build or release" in failed(world)
    index.handler(world.request(), Context())
    assert failed(world) == "KeyError: 'Mode'"


def test_whatever_is_denied_is_answered(world, index, commits):
    index.handler(world.build(Bucket="no-such-bucket-of-ours"), Context())
    assert "NoSuchBucket" in failed(world)


def test_a_function_that_runs_out_of_time_answers_first(world, index):
    index.resolve = lambda *_: time.sleep(30)
    index.handler(world.build(), Context(index.SECONDS_TO_ANSWER + 0.2))
    assert "time was over" in failed(world)


def test_no_secret_is_printed(world, index, commits, capsys, unused):
    _, id_ = start(world, index)
    world.refuse_answers = [500]
    end(world, index, id_, "FAILED")
    broken = world.build(revision="none")
    broken["ResponseURL"] = f"http://127.0.0.1:{unused}/answer?{SECRET}"
    with pytest.raises(index.Undelivered) as one:
        index.handler(broken, Context())
    # A client would name this address in its error.
    broken["ResponseURL"] = f"{world.url}/answer ?{SECRET}"
    with pytest.raises(index.Undelivered) as other:
        index.handler(broken, Context())
    printed = capsys.readouterr()
    said = f"{printed.out}{printed.err}{one.value!r}{other.value!r}{one.value.__cause__}{other.value.__cause__}"
    assert "FAILED" in said and "Undelivered" in said
    assert SECRET not in said and "a-secret-of-the-environment" not in said
    assert one.value.__suppress_context__ and SECRET not in json.dumps(world.answers)
