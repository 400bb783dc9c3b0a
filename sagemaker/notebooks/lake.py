"""Asks Athena for what is in the lake."""

import json
import time
from pathlib import Path

import boto3
import pandas as pd

# The notebook instance writes these names when it starts.
settings = json.loads(Path(__file__).with_name("settings.json").read_text())
athena = boto3.client("athena", region_name=settings["region"])


def ask(sql, parameters=()):
    """Rows of a query in Athena, with columns typed as Athena says."""
    asked = dict(QueryString=sql, WorkGroup=settings["workgroup"], QueryExecutionContext={"Database": settings["database"]})
    if parameters:
        asked["ExecutionParameters"] = list(parameters)
    query = athena.start_query_execution(**asked)["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        time.sleep(1)
    if status["State"] != "SUCCEEDED":
        raise RuntimeError(status.get("StateChangeReason", status["State"]))
    columns, rows = [], []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        columns = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        rows += [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
    # The first row has the names.
    frame = pd.DataFrame(rows[1:], columns=[column["Name"] for column in columns])
    for column in columns:
        if column["Type"] in ("double", "bigint", "integer", "decimal"):
            frame[column["Name"]] = pd.to_numeric(frame[column["Name"]])
        elif column["Type"] in ("date", "timestamp"):
            frame[column["Name"]] = pd.to_datetime(frame[column["Name"]])
    return frame
