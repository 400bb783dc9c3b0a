"""Stops this notebook instance when nobody has used it for an hour. A timer asks every five minutes.

In use is: a kernel that is busy, or a kernel or terminal that did something within the hour. A tab that is only open is
not. Whoever closes everything has the hour too, from the last time that something was seen.
"""

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from datetime import datetime

JUPYTER = "https://localhost:8443"
ABOUT = "/opt/ml/metadata/resource-metadata.json"
SEEN = "/run/algotrading-seen"
IDLE_SECONDS = 3600


def ask(path):
    # The certificate is this machine's own, for itself.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(JUPYTER + path, timeout=20, context=trusting) as answer:
        return json.load(answer)


def seconds(moment):
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def last_use(kernels, terminals, before, now):
    """When something was last done."""
    if any(kernel["execution_state"] in ("busy", "starting", "restarting") for kernel in kernels):
        return now
    return max([before, *(seconds(one["last_activity"]) for one in [*kernels, *terminals] if one.get("last_activity"))])


def main():
    now = time.time()
    try:
        with open(SEEN) as file:
            before = float(file.read())
    except (OSError, ValueError):
        before = now  # The first time since it was started.
    try:
        used = last_use(ask("/api/kernels"), ask("/api/terminals"), before, now)
    except (OSError, ValueError, KeyError) as error:
        # Without an answer nothing is known; an instance whose Jupyter is gone must not run for ever.
        print(f"Jupyter does not answer: {error}", file=sys.stderr)
        used = before
    with open(SEEN, "w") as file:
        file.write(str(used))
    if now - used < IDLE_SECONDS:
        return
    with open(ABOUT) as file:
        about = json.load(file)
    region = about["ResourceArn"].split(":")[3]
    stop = ["aws", "sagemaker", "stop-notebook-instance", "--region", region, "--notebook-instance-name", about["ResourceName"]]
    subprocess.run(stop, check=True)


if __name__ == "__main__":
    main()
