"""The services that are our own, asked by AWS's clients: boto3 here, the Rust SDK in the adapters' conformance suite."""

import json
import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from conftest import DAY
from harness import deploy, sample, servers


@pytest.fixture(scope="module")
def ready(emulator, tmp_path_factory):
    """A stack whose day has been run; its tests leave it as it is."""
    from conftest import stacks

    with stacks(emulator, tmp_path_factory.mktemp("services")) as make:
        offline = make()
        offline.publish(DAY)
        run = offline.start(DAY)
        assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
        yield offline


def refused(code, call, **given):
    with pytest.raises(ClientError) as error:
        call(**given)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response


def until(state, ask, seconds=30):
    deadline = time.monotonic() + seconds
    while (found := ask()) != state:
        assert time.monotonic() < deadline, f"{found}, and not {state}"
        time.sleep(0.05)


def test_the_adapters_conformance_suite(ready):
    environment = servers.environment(servers.endpoints(ready.stack.emulator, ready.stack.server)) | {
        "ALGOTRADING_OFFLINE_AWS": ready.stack.emulator, "DATA_SETS": ready.stack.data_set,
        "DATABASE": ready.stack.database,
    }
    del environment["AWS_ENDPOINT_URL"]
    done = subprocess.run(
        # Of the whole workspace, so that what is built already is not built with other features.
        ["cargo", "test", "--locked", "--workspace", "--test", "emulator", "--", "--ignored", "--nocapture"],
        cwd=servers.TOP, env=environment, capture_output=True, text=True, check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "skipped" not in said and "13 passed" in said, said


def test_data_exchange_lists_in_pages_and_exports_once(ready):
    exchange = ready.client("dataexchange")
    pages = [exchange.list_data_set_revisions(DataSetId="eod-us", MaxResults=1)]
    while token := pages[-1].get("NextToken"):
        pages.append(exchange.list_data_set_revisions(DataSetId="eod-us", MaxResults=1, NextToken=token))
    revisions = [one for page in pages for one in page["Revisions"]]
    # The last one first, and a last page that may be empty.
    assert [one["Id"] for one in revisions][0] == f"day-{DAY}" and len(revisions) == 2
    assert all(one["Finalized"] for one in revisions)
    assets = exchange.list_revision_assets(DataSetId="eod-us", RevisionId=f"day-{DAY}")["Assets"]
    assert [one["Name"] for one in assets] == [f"daily_adjusted_{symbol}.csv" for symbol in sample.SYMBOLS]
    details = {"ExportAssetsToS3": {
        "DataSetId": "eod-us", "RevisionId": f"day-{DAY}",
        "AssetDestinations": [{"AssetId": assets[0]["Id"], "Bucket": ready.stack.bucket, "Key": "one asset/a.csv"}],
    }}
    job = exchange.create_job(Type="EXPORT_ASSETS_TO_S3", Details=details)["Id"]
    assert exchange.get_job(JobId=job)["State"] == "WAITING"
    exchange.start_job(JobId=job)
    until("COMPLETED", lambda: exchange.get_job(JobId=job)["State"])
    refused("ConflictException", exchange.start_job, JobId=job)
    landed = ready.client("s3").get_object(Bucket=ready.stack.bucket, Key="one asset/a.csv")["Body"].read()
    assert landed == (ready.stack.product / f"day-{DAY}" / assets[0]["Name"]).read_bytes()
    details["ExportAssetsToS3"]["AssetDestinations"][0]["Bucket"] = "no-such-bucket-of-anybody"
    job = exchange.create_job(Type="EXPORT_ASSETS_TO_S3", Details=details)["Id"]
    exchange.start_job(JobId=job)
    until("ERROR", lambda: exchange.get_job(JobId=job)["State"])
    assert "no-such-bucket-of-anybody" in exchange.get_job(JobId=job)["Errors"][0]["Message"]
    refused("ResourceNotFoundException", exchange.get_revision, DataSetId="eod-us", RevisionId="nobody")
    refused("ResourceNotFoundException", exchange.get_job, JobId="nobody")
    # An id is never a path.
    refused("ResourceNotFoundException", exchange.list_data_set_revisions, DataSetId="../..")


def test_an_endpoint_answers_with_the_lakes_model_and_refuses_as_the_container_does(ready):
    runtime = ready.client("sagemaker-runtime")
    row = ",".join(["0.5"] * 31)
    ask = lambda **given: runtime.invoke_endpoint(EndpointName="forecast", **given)["Body"].read().decode()
    both = json.loads(ask(ContentType="application/json", Body=json.dumps([[0.5] * 31])))["predictions"][0]
    long, short = map(float, ask(ContentType="text/csv", Body=row).split(","))
    assert (both["long"], both["short"]) == pytest.approx((long, short))
    error = refused("ModelError", runtime.invoke_endpoint, EndpointName="forecast", ContentType="text/csv", Body="1,2")
    assert error["OriginalStatusCode"] == 400 and "the model reads 31" in error["OriginalMessage"]
    refused("ValidationError", runtime.invoke_endpoint, EndpointName="nobody", ContentType="text/csv", Body=row)


def test_athena_keeps_views_and_tables_and_reads_them_again(ready):
    query = ready.query
    query("CREATE OR REPLACE VIEW cheap AS SELECT sym, close FROM hist_data_daily WHERE close < 100")
    query("CREATE VIEW cheapest AS SELECT min(close) AS close FROM cheap")
    [row] = query("SELECT close FROM cheapest")
    assert 0 < float(row["close"]) < 100
    view = ready.client("glue").get_table(DatabaseName=ready.stack.database, Name="cheap")["Table"]
    assert view["TableType"] == "VIRTUAL_VIEW" and view["ViewOriginalText"].startswith("/* Presto View: ")
    place = f"s3://{ready.stack.bucket}/made"
    query(f"CREATE TABLE made WITH (format = 'PARQUET', external_location = '{place}/') AS SELECT sym, count(*) AS n FROM hist_data_daily GROUP BY sym")
    assert [row["sym"] for row in query("SELECT sym, n FROM made ORDER BY sym")] == list(sample.SYMBOLS)
    with pytest.raises(deploy.QueryFailed, match="AlreadyExistsException"):
        query("CREATE TABLE made AS SELECT 1 AS x")
    for statement in ("DROP VIEW cheapest", "DROP VIEW cheap", "DROP TABLE made", "DROP TABLE IF EXISTS made"):
        query(statement)
    with pytest.raises(deploy.QueryFailed, match="TABLE_NOT_FOUND.*made"):
        query("SELECT * FROM made")


def test_athena_answers_the_references_queries_and_as_of_a_moment(ready):
    shipped = servers.TOP / "crates/queries/sql"
    database = ready.stack.database
    texts = {file.stem: file.read_text().replace("algo_data", database) for file in shipped.rglob("*.sql")}
    assert len(ready.query(texts["reference_history"])) == 1000
    assert len(ready.query(texts["reference_preview"])) == 10
    athena = ready.client("athena")
    moment = "'2013-02-26T22:30:00Z'"
    started = athena.start_query_execution(
        QueryString=texts["hist_data_daily_as_of"], WorkGroup=ready.stack.workgroup, ExecutionParameters=[moment],
        QueryExecutionContext={"Database": database},
    )["QueryExecutionId"]
    status = lambda: athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]["State"]
    until("SUCCEEDED", status)
    rows = athena.get_query_results(QueryExecutionId=started, MaxResults=1000)["ResultSet"]["Rows"]
    dates = {row["Data"][0]["VarCharValue"] for row in rows[1:]}
    # The session itself was published later.
    assert rows[0]["Data"][0]["VarCharValue"] == "dt" and DAY not in dates
    found = athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]
    assert found["Statistics"]["DataScannedInBytes"] > 0
    bucket, key = found["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").split("/", 1)
    text = ready.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert text.startswith('"dt","sym","open"')


def test_athena_refuses_what_athena_refuses(ready):
    athena, workgroup = ready.client("athena"), f"{ready.stack.name}-small"
    athena.create_work_group(Name=workgroup, Configuration={
        "ResultConfiguration": {"OutputLocation": f"s3://{ready.stack.bucket}/small/"}, "BytesScannedCutoffPerQuery": 10_000_000,
    })
    given = {"QueryString": "SELECT 1 AS x", "WorkGroup": workgroup, "ClientRequestToken": "t" * 32}
    first = athena.start_query_execution(**given)["QueryExecutionId"]
    assert athena.start_query_execution(**given)["QueryExecutionId"] == first
    refused("InvalidRequestException", athena.start_query_execution, **given | {"QueryString": "SELECT 2 AS x"})
    refused("InvalidRequestException", athena.get_query_execution, QueryExecutionId="nobody")
    for sql, reason in {
        "SELECT * FROM nowhere": "TABLE_NOT_FOUND", "SELECT nothing(1)": "FUNCTION_NOT_FOUND", "SELEC 1": "NOT_SUPPORTED",
        "SELECT ?": "expected 1 but found 0", "DELETE FROM bars_daily": "NOT_SUPPORTED",
    }.items():
        with pytest.raises(deploy.QueryFailed, match=reason):
            ready.query(sql)


def test_ecs_runs_a_containers_program_and_says_how_it_ended(ready):
    ecs, stack = ready.client("ecs"), ready.stack
    network = {"awsvpcConfiguration": {"subnets": ["subnet-offline"]}}

    def run(name, **given):
        return ecs.run_task(cluster=stack.cluster, taskDefinition=name, launchType="FARGATE", networkConfiguration=network, **given)["tasks"][0]["taskArn"]

    def ended(arn):
        describe = lambda: ecs.describe_tasks(cluster=stack.cluster, tasks=[arn])["tasks"][0]
        until("STOPPED", lambda: describe()["lastStatus"])
        return describe()

    wrong = {"containerOverrides": [{"name": "strategy-runner", "environment": [
        {"name": "STRATEGY", "value": "nobody"}, {"name": "SESSION", "value": DAY}]}]}
    arn = run(f"{stack.name}-strategy-runner", overrides=wrong, clientToken="once")
    assert run(f"{stack.name}-strategy-runner", overrides=wrong, clientToken="once") == arn
    task = ended(arn)
    assert task["containers"][0]["exitCode"] == 1 and task["stopCode"] == "EssentialContainerExited"
    [log] = (ready.folder / "tasks").glob(f"{arn.rsplit('/')[-1]}*")
    assert log.read_text().startswith("error: ") and "strategies/nobody.toml" in log.read_text()

    ecs.register_task_definition(family=f"{stack.name}-absent", containerDefinitions=[{"name": "absent", "image": "x"}])
    task = ended(run(f"{stack.name}-absent"))
    assert task["stopCode"] == "TaskFailedToStart" and "exitCode" not in task["containers"][0]
    assert "CannotPullContainerError" in task["containers"][0]["reason"]
    missing = ecs.describe_tasks(cluster=stack.cluster, tasks=["nobody"])
    assert missing["failures"][0]["reason"] == "MISSING"
    refused("ClusterNotFoundException", ecs.run_task, cluster="nobody", taskDefinition=f"{stack.name}-absent")


def test_a_crawl_reads_the_files_and_changes_only_what_its_policy_lets_it(ready):
    glue, s3, stack = ready.client("glue"), ready.client("s3"), ready.stack
    files = sorted(ready.objects("lake/equity/"))
    body = s3.get_object(Bucket=stack.bucket, Key=f"lake/equity/{files[0]}")["Body"].read()
    s3.put_object(Bucket=stack.bucket, Key="crawled/found/a.parquet", Body=body)
    s3.put_object(Bucket=stack.bucket, Key="crawled/known/a.parquet", Body=body)
    known = {"Name": "known", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": {
        "Location": f"s3://{stack.bucket}/crawled/known/", "Columns": [{"Name": "cash", "Type": "string"}]}}
    glue.create_table(DatabaseName=stack.database, TableInput=known)
    columns = lambda name: {one["Name"]: one["Type"] for one in glue.get_table(DatabaseName=stack.database, Name=name)["Table"]["StorageDescriptor"]["Columns"]}
    for policy, wanted in {"LOG": "string", "UPDATE_IN_DATABASE": "decimal(18,6)"}.items():
        name = f"{stack.name}-{policy}"
        glue.create_crawler(
            Name=name, Role="crawler", DatabaseName=stack.database, SchemaChangePolicy={"UpdateBehavior": policy},
            Targets={"S3Targets": [{"Path": f"s3://{stack.bucket}/crawled/"}]},
        )
        glue.start_crawler(Name=name)
        refused("CrawlerRunningException", glue.start_crawler, Name=name)
        until("READY", lambda: glue.get_crawler(Name=name)["Crawler"]["State"])
        assert glue.get_crawler(Name=name)["Crawler"]["LastCrawl"]["Status"] == "SUCCEEDED"
        assert columns("known")["cash"] == wanted
    assert columns("found")["return_1d"] == "double"
    for name in ("known", "found"):
        glue.delete_table(DatabaseName=stack.database, Name=name)


def test_the_server_ends_what_it_has_started(make):
    offline = make()
    stack, ecs = offline.stack, offline.client("ecs")
    program = servers.binaries() / "offline-aws"
    # A container that goes on for ever: the server itself, before nothing.
    ecs.register_task_definition(family=f"{stack.name}-endless", containerDefinitions=[{
        "name": "offline-aws", "image": "x",
        "command": ["--upstream", "http://127.0.0.1:1", "--data-exchange", ".", "--lake", "nowhere", "--bin-dir", ".", "--log-dir", "."],
    }])
    arn = ecs.run_task(cluster=stack.cluster, taskDefinition=f"{stack.name}-endless")["tasks"][0]["taskArn"]
    until("RUNNING", lambda: ecs.describe_tasks(cluster=stack.cluster, tasks=[arn])["tasks"][0]["lastStatus"])
    [child] = servers.children(offline.server.pid)
    ecs.stop_task(cluster=stack.cluster, task=arn, reason="enough")
    until("STOPPED", lambda: ecs.describe_tasks(cluster=stack.cluster, tasks=[arn])["tasks"][0]["lastStatus"])
    assert not servers.command_of(child)
    ecs.run_task(cluster=stack.cluster, taskDefinition=f"{stack.name}-endless")
    time.sleep(0.3)
    [child] = servers.children(offline.server.pid)
    os.kill(offline.server.pid, 15)
    until("", lambda: servers.command_of(child))
    assert program.exists()
