"""AWS's own client asks the container's server as if it were an endpoint of SageMaker.

Set ALGOTRADING_CONTAINER to the binary (`./test` builds it and does).
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[2]
ROW = ",".join(["0.5"] * 31)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("ml")
    shutil.copytree(ROOT / "data" / "models" / "forecast", root / "model")
    server = subprocess.Popen(
        [os.environ["ALGOTRADING_CONTAINER"], "serve"],
        env={"ALGOTRADING_ML_ROOT": str(root), "ALGOTRADING_BIND": "127.0.0.1:0"},
        stdout=subprocess.PIPE, text=True,
    )
    address = server.stdout.readline().split(" listens on ")[1].strip()
    yield boto3.client(
        "sagemaker-runtime", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="x", aws_secret_access_key="x", config=Config(retries={"max_attempts": 1}),
    )
    server.terminate()
    assert server.wait(30) == 0


def test_rows_in_csv_are_predicted(client):
    answer = client.invoke_endpoint(EndpointName="eod", ContentType="text/csv", Body=f"{ROW}\n{ROW}\n")
    lines = answer["Body"].read().decode().splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and answer["ContentType"].startswith("text/csv")
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_rows_in_json_are_predicted(client):
    body = json.dumps({"instances": [[0.5] * 31]})
    answer = client.invoke_endpoint(EndpointName="eod", ContentType="application/json", Body=body)
    (prediction,) = json.loads(answer["Body"].read())["predictions"]
    assert 0 < prediction["long"] < 1 and 0 < prediction["short"] < 1


def test_a_bad_row_is_a_model_error_with_its_reason(client):
    with pytest.raises(client.exceptions.ModelError) as caught:
        client.invoke_endpoint(EndpointName="eod", ContentType="text/csv", Body="1,2")
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "row 1 has 2 numbers" in caught.value.response["OriginalMessage"]
    with pytest.raises(ClientError, match="415"):
        client.invoke_endpoint(EndpointName="eod", ContentType="image/png", Body="x")
