"""What CloudFormation makes of the app's template, found by the services' own calls and not by its word."""

import json

import pytest
from conftest import DAY
from harness import deploy

# What is left when a stack is deleted; docs/deploy.md says the same.
KEPT = {
    "DataKey": "AWS::KMS::Key", "DataAccessLogs": "AWS::S3::Bucket", "DataLake": "AWS::S3::Bucket",
    "DataArchive": "AWS::S3::Bucket", "DataRecords": "AWS::DynamoDB::Table", "DataJournal": "AWS::DynamoDB::Table",
}
# Programs that are always on; nothing runs them here, because MiniStack would have Docker do that.
TRADING = {
    "Trading": "fix", "TradingStrategy": "ema", "MarketFeed": "alpaca", "FixPort": "9876",
    "BrokerSecret": "arn:aws:secretsmanager:us-east-1:000000000000:secret:broker-AbCdEf",
}
PRIVATE_TRADING = {"Trading": "paper", "TradingStrategy": "ema", "PrivateNetwork": "true", "NotificationEmail": "somebody@example.com"}


def name_of(arn: str) -> str:
    return arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def finds(offline) -> dict:
    """For each type of resource, how its own service is asked for one; asking for none raises, or finds nothing."""
    c, database = offline.client, offline.stack.database
    ec2, iam, logs = c("ec2"), c("iam"), c("logs")

    def policy(_, resource):
        found = []
        for role in iam.get_paginator("list_roles").paginate().build_full_result()["Roles"]:
            if role["RoleName"].startswith(offline.stack.name):
                names = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
                found += [name for name in names if name == resource["LogicalResourceId"]]
        return found

    def key(id_, _):
        found = c("kms").describe_key(KeyId=id_)["KeyMetadata"]
        assert found["KeyState"] == "Enabled", found
        assert c("kms").get_key_rotation_status(KeyId=id_)["KeyRotationEnabled"]
        return found

    def table_of_routes(id_, resource):
        tables = ec2.get_paginator("describe_route_tables").paginate().build_full_result()["RouteTables"]
        return [one for table in tables for one in table["Associations"] if one["RouteTableAssociationId"] == id_]

    def queue_url(id_):
        return id_ if id_.startswith("http") else c("sqs").get_queue_url(QueueName=name_of(id_))["QueueUrl"]

    def permission(id_, resource):
        found = []
        for function in c("lambda").get_paginator("list_functions").paginate().build_full_result()["Functions"]:
            try:
                text = c("lambda").get_policy(FunctionName=function["FunctionName"])["Policy"]
            except c("lambda").exceptions.ResourceNotFoundException:
                continue
            found += [one for one in json.loads(text)["Statement"] if one["Sid"] in id_ or id_ in one["Sid"]]
        return found

    def filters(id_, _):
        # Of all stacks of the session, and a page holds fifty.
        pages = logs.get_paginator("describe_metric_filters").paginate().build_full_result()
        return [one for one in pages["metricFilters"] if one["filterName"] == name_of(id_)]

    def rule(id_, _):
        name = name_of(id_)
        c("events").describe_rule(Name=name)
        return c("events").list_targets_by_rule(Rule=name)["Targets"]

    return {
        "AWS::Athena::WorkGroup": lambda id_, _: c("athena").get_work_group(WorkGroup=id_),
        "AWS::CloudWatch::Alarm": lambda id_, _: c("cloudwatch").describe_alarms(AlarmNames=[id_])["MetricAlarms"],
        "AWS::CloudWatch::Dashboard": lambda id_, _: json.loads(c("cloudwatch").get_dashboard(DashboardName=id_)["DashboardBody"]),
        "AWS::DynamoDB::Table": lambda id_, _: c("dynamodb").describe_table(TableName=id_),
        "AWS::EC2::InternetGateway": lambda id_, _: ec2.describe_internet_gateways(InternetGatewayIds=[id_])["InternetGateways"],
        "AWS::EC2::RouteTable": lambda id_, _: ec2.describe_route_tables(RouteTableIds=[id_])["RouteTables"],
        "AWS::EC2::SecurityGroup": lambda id_, _: ec2.describe_security_groups(GroupIds=[id_])["SecurityGroups"],
        "AWS::EC2::Subnet": lambda id_, _: ec2.describe_subnets(SubnetIds=[id_])["Subnets"],
        "AWS::EC2::SubnetRouteTableAssociation": table_of_routes,
        "AWS::EC2::VPC": lambda id_, _: ec2.describe_vpcs(VpcIds=[id_])["Vpcs"],
        "AWS::EC2::VPCEndpoint": lambda id_, _: ec2.describe_vpc_endpoints(VpcEndpointIds=[id_])["VpcEndpoints"],
        "AWS::ECS::Cluster": lambda id_, _: [one for one in c("ecs").describe_clusters(clusters=[id_])["clusters"] if one["status"] == "ACTIVE"],
        "AWS::ECS::Service": lambda id_, _: [one for one in c("ecs").describe_services(cluster=id_.split("/")[-2], services=[id_.split("/")[-1]])["services"] if one["status"] == "ACTIVE"],
        "AWS::ECS::TaskDefinition": lambda id_, _: c("ecs").describe_task_definition(taskDefinition=id_)["taskDefinition"]["status"] == "ACTIVE",
        "AWS::Events::Rule": rule,
        "AWS::Glue::Crawler": lambda id_, _: c("glue").get_crawler(Name=id_),
        "AWS::Glue::Database": lambda id_, _: c("glue").get_database(Name=id_),
        "AWS::Glue::Table": lambda id_, _: c("glue").get_table(DatabaseName=database, Name=id_.rsplit("|", 1)[-1]),
        "AWS::IAM::Policy": policy,
        "AWS::IAM::Role": lambda id_, _: iam.get_role(RoleName=id_),
        "AWS::Kinesis::Stream": lambda id_, _: c("kinesis").describe_stream_summary(StreamName=name_of(id_)),
        "AWS::KMS::Key": key,
        "AWS::Lambda::Function": lambda id_, _: c("lambda").get_function(FunctionName=id_),
        "AWS::Lambda::Permission": permission,
        "AWS::Logs::LogGroup": lambda id_, _: [one for one in logs.describe_log_groups(logGroupNamePrefix=id_)["logGroups"] if one["logGroupName"] == id_],
        "AWS::Logs::MetricFilter": filters,
        "AWS::S3::Bucket": lambda id_, _: c("s3").head_bucket(Bucket=id_),
        "AWS::S3::BucketPolicy": lambda id_, _: c("s3").get_bucket_policy(Bucket=id_.removesuffix("-policy")),
        "AWS::SNS::Subscription": lambda id_, _: c("sns").get_subscription_attributes(SubscriptionArn=id_),
        "AWS::SNS::Topic": lambda id_, _: c("sns").get_topic_attributes(TopicArn=id_),
        "AWS::SQS::Queue": lambda id_, _: c("sqs").get_queue_attributes(QueueUrl=queue_url(id_), AttributeNames=["All"]),
        "AWS::Scheduler::Schedule": lambda id_, _: c("scheduler").get_schedule(Name=id_),
        "AWS::StepFunctions::StateMachine": lambda id_, _: c("stepfunctions").describe_state_machine(stateMachineArn=id_),
    }


# Part of another resource, which a call of its own does not show; the other one is looked at.
PARTS = {
    "AWS::EC2::Route", "AWS::EC2::VPCGatewayAttachment", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy",
    "AWS::CloudFormation::CustomResource", "Custom::EmptyBucket",
}


def resources(offline) -> list[dict]:
    pages = offline.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=offline.stack.name)
    return [one for page in pages for one in page["StackResourceSummaries"]]


def is_there(find, resource) -> bool:
    try:
        return bool(find(resource["PhysicalResourceId"], resource))
    except Exception as error:  # each service says it in its own way
        if "not" in str(error).lower() or "does not exist" in str(error):
            return False
        raise


@pytest.mark.parametrize("choices, least", [
    ({}, 110), ({"DataSetId": ""}, 105), ({"PrivateNetwork": "true", "NotificationEmail": "somebody@example.com"}, 120),
    (TRADING, 145), (PRIVATE_TRADING, 160),
])
def test_every_resource_is_found_by_its_own_service(make, choices, least):
    offline = make(choices=choices)
    found, services = resources(offline), finds(offline)
    assert len(found) > least
    unknown = {one["ResourceType"] for one in found} - set(services) - PARTS
    assert not unknown, f"say how these are found: {unknown}"
    missing = [
        f"{one['LogicalResourceId']} ({one['ResourceType']}) {one['PhysicalResourceId']}"
        for one in found if one["ResourceType"] in services and not is_there(services[one["ResourceType"]], one)
    ]
    assert not missing, "\n".join(missing)


def test_what_is_made_is_as_declared(offline):
    stack, c = offline.stack, offline.client
    policy = json.loads(c("s3").get_bucket_policy(Bucket=stack.bucket)["Policy"])
    assert any(one["Effect"] == "Deny" and "aws:SecureTransport" in json.dumps(one) for one in policy["Statement"])
    assert c("s3").get_bucket_versioning(Bucket=stack.bucket)["Status"] == "Enabled"
    assert all(c("s3").get_public_access_block(Bucket=stack.bucket)["PublicAccessBlockConfiguration"].values())
    table = c("dynamodb").describe_table(TableName=stack.table)["Table"]
    assert [one["AttributeName"] for one in table["KeySchema"]] == ["pk", "sk"]
    machine = c("stepfunctions").describe_state_machine(stateMachineArn=stack.machine)
    states = json.loads(machine["definition"])["States"]
    assert states["Plan"]["Resource"] == stack.function("plan-session")
    assert states["HolidayNotice"]["Parameters"]["TopicArn"] == stack.topic
    workgroup = c("athena").get_work_group(WorkGroup=stack.workgroup)["WorkGroup"]["Configuration"]
    assert workgroup["EnforceWorkGroupConfiguration"]
    assert int(workgroup["BytesScannedCutoffPerQuery"]) == 10 * 1024**3
    [alarm] = c("cloudwatch").describe_alarms(AlarmNames=[f"{stack.name}-missing-run"])["MetricAlarms"]
    assert alarm["TreatMissingData"] == "breaching" and alarm["AlarmActions"] == [stack.topic]


def test_what_trades_all_day_is_as_declared_and_goes_with_its_choice(make):
    offline = make(choices=TRADING)
    stack, c = offline.stack, offline.client
    ecs, sqs = c("ecs"), c("sqs")
    journal = stack.outputs["JournalTable"]
    [key] = [one["PhysicalResourceId"] for one in resources(offline) if one["LogicalResourceId"].startswith("DataKey")]

    programs = ("market-data-adapter", "broker-adapter", "strategy-runner", "guardian")
    names = [f"{stack.name}-live-{program}" for program in programs]
    services = ecs.describe_services(cluster=stack.cluster, services=names)["services"]
    assert [one["serviceName"] for one in services] == names
    told = {}
    for program, service in zip(programs, services):
        assert service["desiredCount"] == 1
        deployment = service["deploymentConfiguration"]
        assert (deployment["minimumHealthyPercent"], deployment["maximumPercent"]) == (0, 100)
        assert deployment["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
        assert len(service["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]) == (2 if program == "broker-adapter" else 1)
        [container] = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]["containerDefinitions"]
        assert container["entryPoint"] == [f"/{program}"] and container["readonlyRootFilesystem"] and container["image"] == "containers"
        told[program] = {one["name"]: one["value"] for one in container["environment"]}
        assert told[program]["STRATEGY"] == "ema" and told[program]["LAKE"] == stack.lake

    stream = c("kinesis").describe_stream_summary(StreamName=told["market-data-adapter"]["MARKET_STREAM"])["StreamDescriptionSummary"]
    # MiniStack leaves its encryption out; infra/test looks at it.
    assert stream["OpenShardCount"] == 1
    for variable in ("ORDERS_QUEUE_URL", "EXECUTIONS_QUEUE_URL"):
        url = told["broker-adapter"][variable]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["FifoQueue"] == "true" and key in attributes["KmsMasterKeyId"]
        assert json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"].endswith("-undelivered.fifo")
    assert told["broker-adapter"]["BROKER_SECRET"] == TRADING["BrokerSecret"]
    table = c("dynamodb").describe_table(TableName=told["guardian"]["JOURNAL_TABLE"])["Table"]
    assert [(one["AttributeName"], one["KeyType"]) for one in table["KeySchema"]] == [("strategy", "HASH"), ("seq", "RANGE")]
    silent = c("cloudwatch").describe_alarms(AlarmNames=[f"{stack.name}-{program}-silent" for program in programs])["MetricAlarms"]
    assert {one["TreatMissingData"] for one in silent} == {"breaching"} and len(silent) == 4

    def update(choices):
        stack.choices = choices
        c("cloudformation").update_stack(
            StackName=stack.name, TemplateURL=deploy.upload(stack, deploy.template()), Parameters=stack.parameters,
            Capabilities=["CAPABILITY_IAM"],
        )

    with pytest.raises(c("cloudformation").exceptions.ClientError, match="prices of the past"):
        update(TRADING | {"MarketFeed": "replay"})
    c("dynamodb").put_item(TableName=journal, Item={"strategy": {"S": "ema"}, "seq": {"N": "1"}})
    update({})
    deploy.settled(stack, "UPDATE_COMPLETE")
    left = {one["ResourceType"] for one in resources(offline)}
    assert not left & {"AWS::ECS::Service", "AWS::Kinesis::Stream"}
    assert not [one for one in ecs.describe_services(cluster=stack.cluster, services=names)["services"] if one["status"] == "ACTIVE"]
    # What was held is still known.
    assert c("dynamodb").get_item(TableName=journal, Key={"strategy": {"S": "ema"}, "seq": {"N": "1"}})["Item"]


def test_declared_tables_and_views_are_those_that_the_shipped_sql_makes(offline):
    """The same statements are run by Athena in a database beside."""
    glue, beside = offline.client("glue"), f"{offline.stack.database}_by_sql"
    glue.create_database(DatabaseInput={"Name": beside})
    sql = deploy.TOP / "crates" / "queries" / "sql"
    for file in sorted((sql / "tables").glob("*.sql")):
        offline.query(file.read_text().replace("{lake}", offline.stack.lake).replace("algo_data.", f"{beside}."))
    for file in sorted((sql / "views").glob("*.sql")):
        text = file.read_text().replace("FROM bars_daily", f"FROM {beside}.bars_daily")
        text = text.replace("FROM corporate_actions", f"FROM {beside}.corporate_actions")
        offline.query(f"CREATE OR REPLACE VIEW {beside}.{file.stem} AS\n{text}")

    def shape(database):
        tables = glue.get_paginator("get_tables").paginate(DatabaseName=database).build_full_result()["TableList"]
        columns = lambda listed: [(one["Name"], one["Type"]) for one in listed]
        return {
            one["Name"]: (
                one["TableType"], columns(one["StorageDescriptor"]["Columns"]), columns(one["PartitionKeys"]),
                one["StorageDescriptor"].get("Location", ""), {k: v for k, v in one["Parameters"].items() if "projection" in k or "storage" in k},
            )
            for one in tables
        }

    declared, made = shape(offline.stack.database), shape(beside)
    assert len(made) == 11 and declared == made


def test_an_update_changes_what_it_says_and_keeps_the_data(offline):
    stack, c = offline.stack, offline.client
    offline.publish(DAY)
    bars = offline.start(DAY)
    assert bars.status == "SUCCEEDED", bars.reason
    before = offline.objects()
    stack.choices = {"ScanLimit": "1000000000", "Model": "", "MonthlyBudget": "0"}
    c("cloudformation").update_stack(
        StackName=stack.name, TemplateURL=deploy.upload(stack, deploy.template()), Parameters=stack.parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    deploy.settled(stack, "UPDATE_COMPLETE")
    variables = c("lambda").get_function_configuration(FunctionName=f"{stack.name}-run-query")["Environment"]["Variables"]
    assert variables["SCAN_BYTES_MAX"] == "1000000000"
    workgroup = c("athena").get_work_group(WorkGroup=stack.workgroup)["WorkGroup"]["Configuration"]
    assert int(workgroup["BytesScannedCutoffPerQuery"]) == 1_000_000_000
    assert offline.objects() == before
    again = offline.start(DAY)
    assert again.status == "SUCCEEDED" and again.output["export"]["already"] == 2


def test_a_deleted_stack_leaves_what_is_documented_and_nothing_else(offline):
    stack, services = offline.stack, finds(offline)
    offline.publish(DAY)
    assert offline.start(DAY).status == "SUCCEEDED"
    # The checks have left results of queries; a bucket that is not empty is not deleted by CloudFormation.
    found = resources(offline)
    [results] = [one["PhysicalResourceId"] for one in found if one["LogicalResourceId"].startswith("CatalogResults") and one["ResourceType"] == "AWS::S3::Bucket"]
    assert offline.client("s3").list_objects_v2(Bucket=results)["KeyCount"]
    lake = offline.objects()
    stack.client("cloudformation").delete_stack(StackName=stack.name)
    deploy.settled(stack, "DELETE_COMPLETE")
    left = {
        one["LogicalResourceId"]: one["ResourceType"]
        for one in found if one["ResourceType"] in services and is_there(services[one["ResourceType"]], one)
    }
    assert {name.rstrip("0123456789ABCDEF"): kind for name, kind in left.items()} == KEPT
    assert offline.objects() == lake
