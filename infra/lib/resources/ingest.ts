/** The functions of the day, each with a role that may do what its step does. */
import { Aws, Duration, RemovalPolicy, Size, Stack } from 'aws-cdk-lib';
import * as dataexchange from 'aws-cdk-lib/aws-dataexchange';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { optional } from '../optional';
import { grant, publishFigures, readLake, readWriteLake, readWriteRecords, tell, type Terms, traced, writeLog } from './access';
import { type Artifacts, CONTAINERS, FUNCTIONS, type FunctionName } from './artifacts';
import type { Catalog } from './catalog';
import type { Data } from './data';
import type { Engine } from './engine';
import type { Network } from './network';

export interface IngestProps {
  readonly name: string;
  readonly choices: Choices;
  readonly data: Data;
  readonly catalog: Catalog;
  readonly network: Network;
  readonly engine: Engine;
  readonly artifacts: Artifacts;
  readonly topic: sns.ITopic;
  /** Endpoint of SageMaker that answers for the model; empty for none. */
  readonly endpoint: string;
  readonly environment: Record<string, string>;
}

export class Ingest extends Construct {
  readonly functions = new Map<FunctionName, lambda.Function>();
  readonly logs = new Map<FunctionName, logs.LogGroup>();

  constructor(scope: Construct, id: string, private readonly props: IngestProps) {
    super(scope, id);
    for (const name of Object.keys(FUNCTIONS) as FunctionName[]) this.make(name);
    this.permit();
    this.eventAction();
  }

  function(name: FunctionName): lambda.Function {
    const found = this.functions.get(name);
    if (!found) throw new Error(`there is no function ${name}`);
    return found;
  }

  private make(name: FunctionName) {
    const { data, artifacts, environment } = this.props;
    const full = `${this.props.name}-${name}`;
    const group = new logs.LogGroup(this, `Log-${name}`, {
      logGroupName: `/aws/lambda/${full}`, encryptionKey: data.key,
      retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(this, `Role-${name}`, {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'), description: `The function ${name}`,
    });
    writeLog(role, group);
    traced(role);
    const made = new lambda.Function(this, name, {
      functionName: full,
      description: `algotrading: docs/eod.md says what ${name} takes and gives`,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: lambda.Architecture.ARM_64,
      handler: 'bootstrap',
      code: artifacts.code(name),
      role,
      memorySize: 512,
      timeout: Duration.seconds(FUNCTIONS[name]),
      tracing: lambda.Tracing.ACTIVE,
      logGroup: group,
      environment,
      ephemeralStorageSize: Size.mebibytes(512),
    });
    this.functions.set(name, made);
    this.logs.set(name, group);
  }

  private permit() {
    const { data, catalog, choices, engine, topic } = this.props;
    const stack = Stack.of(this);
    const allow = (name: FunctionName, actions: string[], resources: string[], terms?: Terms) => grant(this.role(name), actions, resources, terms);
    const dataSet = stack.formatArn({ service: 'dataexchange', account: '*', resource: 'data-sets', resourceName: choices.value('DataSetId') });

    for (const name of ['plan-session', 'export-assets', 'ingest-bars', 'crawl-catalog', 'launch-strategy', 'watch-pnl', 'report-run'] as const) {
      readWriteRecords(this.role(name), data);
    }
    for (const name of ['plan-session', 'launch-strategy', 'watch-pnl'] as const) readLake(this.role(name), data);
    readWriteLake(this.role('ingest-bars'), data, ['lake', 'exports']);
    for (const name of ['score-signals', 'report-run'] as const) readWriteLake(this.role(name), data);

    // A subscriber's data set belongs to the provider; jobs have no name before they are made.
    optional(choices.given('DataSetId'), this, 'Subscribed', (node) => grant(
      new iam.Policy(node, 'Policy', { roles: [this.role('export-assets')] }),
      ['dataexchange:ListDataSetRevisions', 'dataexchange:GetRevision', 'dataexchange:ListRevisionAssets', 'dataexchange:GetAsset'],
      [dataSet, `${dataSet}/*`], { why: 'Revisions and assets of the one data set.' },
    ));
    allow('export-assets', ['dataexchange:CreateJob'], ['*'], {
      why: 'A job has no name before it is made.',
      conditions: { StringEquals: { 'dataexchange:JobType': 'EXPORT_REVISIONS_TO_S3' } },
    });
    allow('export-assets', ['dataexchange:StartJob', 'dataexchange:GetJob'],
      [stack.formatArn({ service: 'dataexchange', resource: 'jobs', resourceName: '*' })], { why: 'Jobs that it has made.' });
    allow('export-assets', ['s3:PutObject', 's3:PutObjectAcl', 's3:GetObject'], [data.lake.arnForObjects('exports/*')],
      { why: 'What a vendor calls its files nobody knows beforehand.' });
    allow('export-assets', ['s3:GetBucketLocation', 's3:ListBucket'], [data.lake.bucketArn]);
    // The bytes of a subscription come out of the provider's bucket, by way of Data Exchange only.
    allow('export-assets', ['s3:GetObject'], [`arn:${Aws.PARTITION}:s3:::*aws-data-exchange*/*`],
      {
        why: 'The provider\'s bucket, by way of Data Exchange only.',
        conditions: { 'ForAnyValue:StringEquals': { 'aws:CalledVia': ['dataexchange.amazonaws.com'] } },
      });
    allow('export-assets', ['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);

    allow('crawl-catalog', ['glue:StartCrawler', 'glue:GetCrawler'],
      [stack.formatArn({ service: 'glue', resource: 'crawler', resourceName: catalog.crawler.ref })]);
    allow('crawl-catalog', ['glue:GetTable', 'glue:GetTables', 'glue:GetDatabase'], catalog.arns, { why: TABLES });

    allow('run-query', ['athena:StartQueryExecution', 'athena:GetQueryExecution', 'athena:GetQueryResults', 'athena:StopQueryExecution'], [catalog.workgroupArn]);
    allow('run-query', ['athena:GetDataCatalog'], [stack.formatArn({ service: 'athena', resource: 'datacatalog', resourceName: 'AwsDataCatalog' })]);
    allow('run-query', ['glue:GetDatabase'], [stack.formatArn({ service: 'glue', resource: 'database', resourceName: 'default' })]);
    allow('run-query', ['glue:GetDatabase', 'glue:GetTable', 'glue:GetTables', 'glue:GetPartition', 'glue:GetPartitions'], catalog.arns, { why: TABLES });
    readLake(this.role('run-query'), data, catalog.tables.map((one) => `lake/${one.location}`));
    allow('run-query', ['s3:GetBucketLocation'], [data.lake.bucketArn, catalog.results.bucketArn]);
    allow('run-query', ['s3:GetObject', 's3:PutObject', 's3:ListBucket', 's3:AbortMultipartUpload'],
      [catalog.results.bucketArn, catalog.results.arnForObjects('athena/*')], { why: 'A result is called after its query.' });
    allow('run-query', ['kms:GenerateDataKey'], [data.key.keyArn]);

    allow('score-signals', ['sagemaker:InvokeEndpoint'],
      [stack.formatArn({ service: 'sagemaker', resource: 'endpoint', resourceName: `${this.props.name}-endpoint` })]);

    const definitions = CONTAINERS.map((one) =>
      stack.formatArn({ service: 'ecs', resource: 'task-definition', resourceName: `${this.props.name}-${one}:*` }));
    const cluster = { ArnEquals: { 'ecs:cluster': engine.cluster.attrArn } };
    allow('launch-strategy', ['ecs:RunTask'], definitions, { why: 'Each revision of the one definition.', conditions: cluster });
    allow('launch-strategy', ['ecs:DescribeTasks'],
      [stack.formatArn({ service: 'ecs', resource: 'task', resourceName: `${engine.cluster.ref}/*` })],
      { why: 'Tasks of the one cluster.', conditions: cluster });
    allow('launch-strategy', ['iam:PassRole'],
      [engine.executionRole.roleArn, ...[...engine.tasks.values()].map((one) => one.taskRole.roleArn)],
      { conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } } });

    publishFigures(this.role('watch-pnl'), this.props.name);
    for (const name of ['watch-pnl', 'report-run'] as const) tell(this.role(name), data, topic);
  }

  /** Data Exchange also exports by itself what it publishes, to where export-assets would: the same bytes under the same key. */
  private eventAction() {
    const { choices, data } = this.props;
    optional(choices.given('DataSetId'), this, 'Published', (node) => new dataexchange.CfnEventAction(node, 'Export', {
      event: { revisionPublished: { dataSetId: choices.value('DataSetId') } },
      action: {
        exportRevisionToS3: {
          // Names of data set and revision: none can overwrite another.
          revisionDestination: { bucket: data.lake.bucketName, keyPattern: KEY_PATTERN },
          encryption: { type: 'aws:kms', kmsKeyArn: data.key.keyArn },
        },
      },
    }));
  }

  private role(name: FunctionName): iam.Role {
    return this.function(name).role as iam.Role;
  }
}

const TABLES = 'Each table of the one database.';
const KEY_PATTERN = 'exports/${DataSet.Id}/${Revision.Id}/${Asset.Name}';
