"""`Custom::EmptyBucket`."""

import pytest
from conftest import REGION, Context


@pytest.fixture
def empty(world):
    return world.load("empty.py")


@pytest.fixture
def versions(world):
    """A bucket with versions, a marker and an unfinished upload."""
    world.s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        for key in ("a", "b/c"):
            world.s3.put_object(Bucket=world.bucket, Key=key, Body=body)
    world.s3.delete_object(Bucket=world.bucket, Key="a")
    world.s3.create_multipart_upload(Bucket=world.bucket, Key="unfinished")
    return world.bucket


def left(world) -> int:
    listed = world.s3.list_object_versions(Bucket=world.bucket)
    uploads = world.s3.list_multipart_uploads(Bucket=world.bucket)
    return sum(len(part.get(name, [])) for part, name in ((listed, "Versions"), (listed, "DeleteMarkers"), (uploads, "Uploads")))


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_only_a_deletion_removes_anything(world, empty, versions, kind):
    empty.handler(world.request(kind, Bucket=versions), Context())
    answer = world.answer()
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", versions)
    assert left(world) == 6


def test_a_deletion_leaves_nothing(world, empty, versions):
    empty.handler(world.request("Delete", versions, Bucket=versions), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert left(world) == 0
    world.s3.delete_bucket(Bucket=versions)


def test_more_than_a_page_is_removed(world, empty):
    for number in range(1003):
        world.s3.put_object(Bucket=world.bucket, Key=f"{number}", Body=b"")
    empty.handler(world.request("Delete", world.bucket, Bucket=world.bucket), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert left(world) == 0


def test_what_is_written_meanwhile_is_removed_too(world, empty, versions):
    late, made = [True], empty.client("s3")

    def write(**_):
        if late:
            late.clear()
            world.s3.put_object(Bucket=versions, Key="a-log-that-came-late", Body=b"")

    made.meta.events.register("after-call.s3.DeleteObjects", write)
    empty.client = lambda _: made
    empty.handler(world.request("Delete", versions, Bucket=versions), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert left(world) == 0 and not late


def test_a_bucket_that_is_gone_is_empty(world, empty):
    empty.handler(world.request("Delete", "gone-long-ago", Bucket="gone-long-ago"), Context())
    assert world.answer()["Status"] == "SUCCESS"


@pytest.mark.parametrize("physical", ["algotrading-Empty-1ABC", None])
def test_a_bucket_that_the_stack_never_took_is_left(world, empty, versions, physical):
    empty.handler(world.request("Delete", physical, Bucket=versions), Context())
    assert world.answer()["Status"] == "SUCCESS"
    assert left(world) == 6


def test_it_gives_up_in_time(world, empty, versions):
    empty.handler(world.request("Delete", versions, Bucket=versions), Context(empty.SECONDS_TO_ANSWER + 5))
    answer = world.answer()
    assert answer["Status"] == "FAILED" and "delete the stack again" in answer["Reason"]
    assert answer["PhysicalResourceId"] == versions
    assert left(world) == 6


def test_what_may_not_be_removed_is_said(world, empty):
    name = f"{world.bucket}-locked"
    world.s3.create_bucket(
        Bucket=name, ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    world.s3.put_object(
        Bucket=name, Key="record", Body=b"kept", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate="2099-01-01T00:00:00Z"
    )
    empty.handler(world.request("Delete", name, Bucket=name), Context())
    answer = world.answer()
    assert answer["Status"] == "FAILED" and f"{name}/record cannot be removed: AccessDenied" in answer["Reason"]


def test_what_may_not_be_listed_is_said(world, empty):
    from botocore.exceptions import ClientError

    class Denied:
        def get_paginator(self, _):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "ListObjectVersions")

    empty.client = lambda _: Denied()
    empty.handler(world.request("Delete", world.bucket, Bucket=world.bucket), Context())
    assert "(AccessDenied) when calling the ListObjectVersions operation" in world.answer()["Reason"]
