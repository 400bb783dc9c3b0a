"""Answering CloudFormation, which waits for an hour when nobody does.

The template puts this text before the text of a handler; together they are one module.
"""

import json
import re
import signal
import threading
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# CloudFormation takes 4096 bytes in all; the rest of an answer needs some of them.
ANSWER_BYTES_MAX = 4000
REASON_LENGTH_MAX = 1800
# What is kept of a function's time to say why it gave up.
SECONDS_TO_ANSWER = 20
# Seconds before another try to deliver an answer.
PAUSES = (1, 2, 4, 8)


class Failed(Exception):
    """What CloudFormation is told, in one sentence."""


class OutOfTime(BaseException):
    """The function is about to be ended. No `except Exception`, of a library for one, may take it for its own."""


class Undelivered(Exception):
    """CloudFormation does not know yet: the function must fail, so that Lambda calls it again with the same event."""


def client(service: str):
    # The usual limits would let one call outlast the function.
    limits = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 4})
    return boto3.client(service, config=limits)


def physical_id(request: dict) -> str:
    """The same for every request of a resource: a new one would have CloudFormation delete the old."""
    own = "-".join((request["LogicalResourceId"], request["StackId"].rpartition("/")[2]))
    return request.get("PhysicalResourceId") or own


def answer(request: dict, reason: str = "", data: dict | None = None, physical: str = "") -> None:
    """Tells CloudFormation how a request ended: badly when there is a reason. Its address is a secret, never shown."""
    body = {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": cut(reason or "done", REASON_LENGTH_MAX),
        "PhysicalResourceId": physical or physical_id(request),
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        "Data": data or {},
    }
    # A letter that is not ASCII may take six bytes.
    while len(json.dumps(body).encode()) > ANSWER_BYTES_MAX and len(body["Reason"]) > 100:
        body["Reason"] = cut(body["Reason"], len(body["Reason"]) * 3 // 4)
    print(f"{request['LogicalResourceId']}: {body['Status']}: {body['Reason']}")
    trouble = ""
    for pause in (*PAUSES, None):
        put = urllib.request.Request(request["ResponseURL"], json.dumps(body).encode(), method="PUT")
        # The address is signed for no type of content.
        put.add_header("Content-Type", "")
        try:
            with urllib.request.urlopen(put, timeout=5):
                return
        except urllib.error.HTTPError as error:
            trouble = f"status {error.code}"
        except Exception as error:
            # Only its kind: some name the address.
            trouble = type(error).__name__
        if pause is not None:
            time.sleep(pause)
    raise Undelivered(f"CloudFormation did not take the answer: {trouble}") from None


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."


def sentence(error: Exception) -> str:
    """An error in words: ours and those of AWS as they are, others with their kind."""
    if isinstance(error, (Failed, ClientError)):
        return str(error)
    # An address may be signed, or have a password.
    return f"{type(error).__name__}: {re.sub(r'https?://[^ ]+', '(an address)', str(error))}"


def answering(request: dict, context, work) -> str:
    """Does the work and answers with what came of it; empty then.

    Work that gives a word instead of data will be answered by another call, and the word is given back.
    """

    def out_of_time(*_):
        raise OutOfTime

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, max(0.1, context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_ANSWER))
    reason = ""
    try:
        done = work()
    except OutOfTime:
        done, reason = {}, "The function's time was over before the work was done; try again."
    except Exception as error:
        done, reason = {}, sentence(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if isinstance(done, str):
        return done
    answer(request, reason, done)
    return ""
