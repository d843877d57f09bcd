"""The two buckets: the archive (versioning, object lock, default retention) and the extracts (plain, files are short-lived)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from connectors.s3 import WRONG_KEY


class BucketError(Exception):
    """No answer, a refusal, or a bucket in a form that cannot carry the archive; the text says what to do."""


@contextmanager
def explained(endpoint: str, key_id: str) -> Iterator[None]:
    """Turns what boto3 raises inside into BucketError: no answer told apart from a wrong key and from a missing right."""
    try:
        yield
    except ClientError as exc:
        code, status = (
            exc.response.get("Error", {}).get("Code", ""),
            exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode"),
        )
        advice = "see the store's log"
        if code in WRONG_KEY or status in (401, 403):  # a store says to HEAD no more than 403
            what = "or its secret is wrong" if code in WRONG_KEY else "or its secret is wrong, or it may not administer buckets"
            advice = (
                f"access key {key_id} {what}; correct AUDITWIRE_ADMIN_S3_ACCESS_KEY_ID and AUDITWIRE_ADMIN_S3_SECRET_ACCESS_KEY"
            )
        raise BucketError(f"S3 {endpoint} refused {exc.operation_name} ({status} {code}): {advice}") from exc
    except BotoCoreError as exc:
        raise BucketError(
            f"S3 {endpoint} does not answer ({type(exc).__name__}): is it up, is AUDITWIRE_S3_ENDPOINT right?"
        ) from exc


def admin_client(endpoint: str, region: str, key_id: str, secret: str) -> Any:
    """boto3 S3 client of a user who may create buckets."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
    )


def archive_bucket(s3: Any, name: str, mode: str, days: int) -> list[str]:
    """Make sure of the archive bucket; returns what was done. Raises BucketError where it lacks object lock."""
    done = []
    if not _exists(s3, name):
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        done.append(f"bucket {name} created with object lock")
    try:
        have = s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    except ClientError:
        raise BucketError(
            f"bucket {name} has no object lock, which S3 allows at creation only: name another bucket in AUDITWIRE_S3_BUCKET"
        ) from None
    wanted = {"Mode": mode, "Days": days}
    if {k: v for k, v in have.get("Rule", {}).get("DefaultRetention", {}).items() if v} != wanted:
        lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": wanted}}
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
        done.append(f"bucket {name}: objects are locked for {days} days, {mode}")
    return done


def extract_bucket(s3: Any, name: str, days: int) -> list[str]:
    """Make sure of the bucket of extract files and of a rule that ends them, behind the service's own; returns what was done.

    A store that knows no such rules is not refused: the answer says so.
    """
    done = []
    if not _exists(s3, name):
        s3.create_bucket(Bucket=name)
        done.append(f"bucket {name} created")
    rule = {"ID": "extracts", "Status": "Enabled", "Filter": {"Prefix": "extracts/"}, "Expiration": {"Days": days}}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}  # parts of a service that was killed
    if _rules(s3, name) == [(rule["ID"], days)]:
        return done
    try:
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        return [*done, f"bucket {name}: the store takes no lifecycle rule ({code}), the export service alone deletes files"]
    return [*done, f"bucket {name}: files end after {days} days"]


def _rules(s3: Any, name: str) -> list[tuple[str, int]]:
    try:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    except ClientError:
        return []
    return [(r.get("ID", ""), r.get("Expiration", {}).get("Days", 0)) for r in rules if r.get("Status") == "Enabled"]


def _exists(s3: Any, name: str) -> bool:
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as exc:
        if exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    return True
