//! The adapters on the emulator.

use std::time::{SystemTime, UNIX_EPOCH};

use aws::tasks::Cluster;
use aws::{Aws, config};
use aws_config::{Region, SdkConfig};
use aws_sdk_athena::types::{ResultConfiguration, WorkGroupConfiguration};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, NetworkMode};
use aws_sdk_glue::types::{Column, CrawlerTargets, DatabaseInput, S3Target, StorageDescriptor, TableInput};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use ports::catalog::Table;
use tokio::runtime::{Builder, Runtime};

use crate::conformance;

const REGION: &str = "eu-central-1";

/// The emulator, with a name that no other run has.
struct Offline {
    runtime: Runtime,
    config: SdkConfig,
    aws: Aws,
    name: String,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What an address says, on a runtime.
fn at(runtime: &Runtime, address: &str) -> SdkConfig {
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    let (key, secret) = (key.unwrap_or_else(|| "test".into()), secret.unwrap_or_else(|| "test".into()));
    let loader = config::loader()
        .endpoint_url(address)
        .region(Region::new(variable("AWS_REGION").unwrap_or_else(|| REGION.into())))
        .credentials_provider(Credentials::new(key, secret, None, None, "emulator"));
    runtime.block_on(loader.load())
}

fn offline(what: &str) -> Offline {
    let address = variable("ALGOTRADING_OFFLINE_AWS").expect("ALGOTRADING_OFFLINE_AWS is the emulator's address");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = at(&runtime, &address);
    let aws = Aws::new(config.clone(), runtime.handle().clone());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    Offline { runtime, config, aws, name: format!("conformance-{what}-{}-{now}", std::process::id()) }
}

impl Offline {
    /// One service that is elsewhere.
    fn elsewhere(&self, address: &str) -> Aws {
        Aws::new(at(&self.runtime, address), self.runtime.handle().clone())
    }

    /// A workgroup whose results go to a bucket; the first one there is, where none can be made.
    fn workgroup(&self, address: &str) -> String {
        self.bucket();
        let results = ResultConfiguration::builder().output_location(format!("s3://{}/", self.name)).build();
        let request = aws_sdk_athena::Client::new(&at(&self.runtime, address))
            .create_work_group()
            .name(&self.name)
            .configuration(WorkGroupConfiguration::builder().result_configuration(results).build());
        if self.runtime.block_on(request.send()).is_ok() { self.name.clone() } else { "primary".into() }
    }

    fn bucket(&self) {
        let region = self.config.region().unwrap().as_ref();
        let place = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region));
        let request = aws_sdk_s3::Client::new(&self.config)
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration((region != "us-east-1").then(|| place.build()));
        self.runtime.block_on(request.send()).unwrap();
    }
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn records() {
    let offline = offline("records");
    let text = |name: &str| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let key =
        |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let request = aws_sdk_dynamodb::Client::new(&offline.config)
        .create_table()
        .table_name(&offline.name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("pk"))
        .attribute_definitions(text("sk"))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range));
    offline.runtime.block_on(request.send()).unwrap();
    conformance::records(&offline.aws.records(&offline.name));
    let missing = ports::records::Records::list(&offline.aws.records("no-such-table"), "p").unwrap_err();
    assert_eq!(missing.kind, ports::Kind::NotFound);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn objects() {
    let offline = offline("objects");
    offline.bucket();
    let client = aws_sdk_s3::Client::new(&offline.config);
    // A folder's own entry, as the console makes it, and a neighbour that begins alike.
    let others = [("landing/raw/ds/rev 1/", ""), ("landing/rawer/ds/rev 1/d.csv", "not below")];
    let files = conformance::FILES.iter().map(|(path, text)| (format!("landing/raw/{path}"), *text));
    for (key, text) in files.chain(others.map(|(key, text)| (key.to_owned(), text))) {
        let body = ByteStream::from_static(text.as_bytes());
        offline.runtime.block_on(client.put_object().bucket(&offline.name).key(key).body(body).send()).unwrap();
    }
    conformance::objects(&offline.aws.objects(&format!("s3://{}/landing/raw", offline.name)).unwrap());
    let missing = offline.aws.objects("s3://no-such-bucket-of-anybody/").unwrap();
    assert_eq!(ports::objects::Objects::list(&missing, "").unwrap_err().kind, ports::Kind::NotFound);
}

/// `DATA_SETS` names what the server of Data Exchange has.
#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn exchange() {
    let (Some(address), Some(data_sets)) = (variable("AWS_ENDPOINT_URL_DATAEXCHANGE"), variable("DATA_SETS")) else {
        eprintln!("skipped: no emulator has Data Exchange; AWS_ENDPOINT_URL_DATAEXCHANGE and DATA_SETS name our own");
        return;
    };
    let offline = offline("exchange");
    offline.bucket();
    let landing = format!("s3://{}/landing", offline.name);
    let (exchange, objects) =
        (offline.elsewhere(&address).exchange(&landing).unwrap(), offline.aws.objects(&landing).unwrap());
    for data_set in data_sets.split(',') {
        conformance::exchange(&exchange, &objects, data_set);
    }
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn notices() {
    let offline = offline("notices");
    let request = aws_sdk_sns::Client::new(&offline.config).create_topic().name(&offline.name);
    let topic = offline.runtime.block_on(request.send()).unwrap().topic_arn.unwrap();
    conformance::notices(&offline.aws.notices(&topic));
    let missing = offline.aws.notices(&format!("{topic}-missing"));
    assert_eq!(ports::notices::Notices::publish(&missing, "s", "t").unwrap_err().kind, ports::Kind::NotFound);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn figures() {
    let offline = offline("figures");
    conformance::figures(&offline.aws.figures(&offline.name));
    let client = aws_sdk_cloudwatch::Client::new(&offline.config);
    let known = offline.runtime.block_on(client.list_metrics().namespace(&offline.name).send()).unwrap();
    let figure = known.metrics().iter().find(|metric| metric.metric_name() == Some("drawdown")).unwrap();
    assert_eq!(figure.dimensions()[0].value(), Some("sma"));
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn catalog() {
    let offline = offline("catalog");
    let (client, database) = (aws_sdk_glue::Client::new(&offline.config), offline.name.replace('-', "_"));
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let table = Table {
        columns: vec![pair("symbol", "string"), pair("close", "double")],
        partition_keys: vec![pair("year", "int")],
        location: format!("s3://{}/bars/", offline.name),
    };
    let columns = |pairs: &[(String, String)]| {
        let column = |(name, kind): &(String, String)| Column::builder().name(name).r#type(kind).build().unwrap();
        Some(pairs.iter().map(column).collect::<Vec<_>>())
    };
    let files = StorageDescriptor::builder().set_columns(columns(&table.columns)).location(&table.location).build();
    let bars =
        TableInput::builder().name("bars").storage_descriptor(files).set_partition_keys(columns(&table.partition_keys));
    let targets = CrawlerTargets::builder().s3_targets(S3Target::builder().path(&table.location).build()).build();
    offline.runtime.block_on(async {
        let made = DatabaseInput::builder().name(&database).build().unwrap();
        client.create_database().database_input(made).send().await.unwrap();
        client.create_table().database_name(&database).table_input(bars.build().unwrap()).send().await.unwrap();
        let crawler = client.create_crawler().name(&offline.name).role("crawler").database_name(&database);
        crawler.targets(targets).send().await.unwrap();
    });
    conformance::catalog(&offline.aws.catalog(), &database, ("bars", &table), &offline.name);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn queries() {
    let Some(address) = variable("AWS_ENDPOINT_URL_ATHENA") else {
        eprintln!("skipped: no emulator runs Trino's SQL; AWS_ENDPOINT_URL_ATHENA names our own");
        return;
    };
    let offline = offline("queries");
    let workgroup = variable("WORKGROUP").unwrap_or_else(|| offline.workgroup(&address));
    let database = variable("DATABASE").unwrap_or_else(|| "default".into());
    conformance::queries(&offline.elsewhere(&address).queries(&workgroup, &database), &offline.name);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn tasks() {
    let offline = offline("tasks");
    let client = aws_sdk_ecs::Client::new(&offline.config);
    let container = ContainerDefinition::builder().name("known").image("public.ecr.aws/none").essential(true);
    let definition = client
        .register_task_definition()
        .family(format!("{}-known", offline.name))
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .container_definitions(container.build());
    offline.runtime.block_on(async {
        client.create_cluster().cluster_name(&offline.name).send().await.unwrap();
        definition.send().await.unwrap();
    });
    let cluster = Cluster {
        name: offline.name.clone(),
        subnets: vec!["subnet-12345678".into()],
        public_address: true,
        security_groups: vec![],
        prefix: format!("{}-", offline.name),
    };
    conformance::tasks(&offline.aws.tasks(cluster), "known", "token");
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn stream() {
    let offline = offline("stream");
    let request =
        aws_sdk_kinesis::Client::new(&offline.config).create_stream().stream_name(&offline.name).shard_count(1);
    offline.runtime.block_on(request.send()).unwrap();
    conformance::stream(&offline.aws.stream(&offline.name));
    let missing = ports::stream::Stream::read(&offline.aws.stream("no-such-stream"), None).unwrap_err();
    assert_eq!(missing.kind, ports::Kind::NotFound);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn queue() {
    let offline = offline("queue");
    let request = aws_sdk_sqs::Client::new(&offline.config)
        .create_queue()
        .queue_name(format!("{}.fifo", offline.name))
        .attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true");
    let url = offline.runtime.block_on(request.send()).unwrap().queue_url.unwrap();
    conformance::queue(&offline.aws.queue(&url), true);
    let missing = url.replace(".fifo", "-missing.fifo");
    let missing = ports::queue::Queue::receive(&offline.aws.queue(&missing), 0).unwrap_err();
    assert_eq!(missing.kind, ports::Kind::NotFound);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn lines() {
    let offline = offline("lines");
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key =
        |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let request = aws_sdk_dynamodb::Client::new(&offline.config)
        .create_table()
        .table_name(&offline.name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("strategy", ScalarAttributeType::S))
        .attribute_definitions(attribute("seq", ScalarAttributeType::N))
        .key_schema(key("strategy", KeyType::Hash))
        .key_schema(key("seq", KeyType::Range));
    offline.runtime.block_on(request.send()).unwrap();
    conformance::lines(&offline.aws.lines(&offline.name));
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn archive() {
    let offline = offline("archive");
    offline.bucket();
    let client = aws_sdk_s3::Client::new(&offline.config);
    let read = |path: &str| {
        offline.runtime.block_on(async {
            let request = client.get_object().bucket(&offline.name).key(format!("journal/{path}"));
            request.send().await.unwrap().body.collect().await.unwrap().to_vec()
        })
    };
    conformance::archive(&offline.aws.archive(&format!("s3://{}/journal", offline.name)).unwrap(), read);
}

#[test]
#[ignore = "needs the offline AWS; ./test starts it"]
fn secrets() {
    let offline = offline("secrets");
    let text = r#"{"key_id":"PK1","secret_key":"hush"}"#;
    let request =
        aws_sdk_secretsmanager::Client::new(&offline.config).create_secret().name(&offline.name).secret_string(text);
    let arn = offline.runtime.block_on(request.send()).unwrap().arn.unwrap();
    let secrets = offline.aws.secrets();
    for name in [&offline.name, &arn] {
        let secret = ports::secrets::Secrets::secret(&secrets, name).unwrap();
        assert_eq!(secret.expose(), text);
    }
    let missing = ports::secrets::Secrets::secret(&secrets, "no-such-secret").unwrap_err();
    assert_eq!(missing.kind, ports::Kind::NotFound);
}
