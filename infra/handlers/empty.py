"""`Custom::EmptyBucket`: CloudFormation deletes no bucket that holds something."""


def handler(event: dict, context) -> None:
    """Only a deletion does anything."""
    bucket = event["ResourceProperties"].get("Bucket", "")
    print(f"{event['RequestType']} {bucket}")
    # What was never made under this name is not ours to empty.
    ours = event["RequestType"] == "Delete" and bucket and event.get("PhysicalResourceId") == bucket
    if event["RequestType"] != "Delete":
        event["PhysicalResourceId"] = bucket
    answering(event, context, lambda: empty(bucket, context) if ours else {})


def empty(bucket: str, context) -> dict:
    """Removes every version, marker and unfinished upload."""
    s3, removed = client("s3"), 0

    def in_time() -> None:
        # A page may take as long as its requests' limits.
        if context.get_remaining_time_in_millis() < (SECONDS_TO_ANSWER + 10) * 1000:
            raise Failed(f"{removed} objects of {bucket} were removed and there are more; delete the stack again.")

    try:
        # Again until nothing is found: somebody may still write.
        while True:
            before = removed
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                in_time()
                entries = [
                    {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                    for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
                ]
                if entries:
                    errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries, "Quiet": True}).get("Errors", [])
                    removed += len(entries) - len(errors)
                    if errors:
                        first = errors[0]
                        raise Failed(f"{bucket}/{first['Key']} cannot be removed: {first['Code']}: {first['Message']}")
            for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
                for upload in page.get("Uploads", []):
                    in_time()
                    abort(s3, bucket, upload)
                    removed += 1
            if removed == before:
                return {}
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return {}
        raise


def abort(s3, bucket: str, upload: dict) -> None:
    try:
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchUpload":
            raise
