/** What analysts and checks ask: the declared tables and views, the crawler that is held against them, Athena's workgroup. */
import { ArnFormat, Aws, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as athena from 'aws-cdk-lib/aws-athena';
import * as glue from 'aws-cdk-lib/aws-glue';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { acknowledge, grant, ofThisAccount } from './access';
import { closed, type Data } from './data';
import { Cleaner } from './handlers';
import { shipped, table, type Column, type Table } from '../sql';

/** What the views answer with. */
const BARS: Column[] = [
  { name: 'dt', type: 'string' }, { name: 'sym', type: 'string' },
  ...['open', 'high', 'low', 'close'].map((name) => ({ name, type: 'double' })),
  { name: 'vol', type: 'bigint' },
];
const FORMAT = {
  inputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat',
  outputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat',
  serdeInfo: { serializationLibrary: 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' },
};

export class Catalog extends Construct {
  readonly database: string;
  readonly workgroup: string;
  readonly crawler: glue.CfnCrawler;
  readonly results: s3.Bucket;
  readonly tables: Table[];
  private readonly made: glue.CfnTable[] = [];

  constructor(scope: Construct, id: string, private readonly name: string, choices: Choices, private readonly data: Data) {
    super(scope, id);
    const database = new glue.CfnDatabase(this, 'Database', {
      catalogId: Aws.ACCOUNT_ID,
      databaseInput: { name: choices.value('DatabaseName'), description: `${name}: bars, signals, orders, fills, equity` },
    });
    this.database = database.ref;
    this.tables = [...shipped('tables')].map(([name, sql]) => table(name, sql));
    for (const one of this.tables) this.table(one);
    // The adjusted views read the others.
    for (const [name, sql] of shipped('views')) this.view(name, sql);
    this.crawler = this.crawl();

    this.results = new s3.Bucket(this, 'Results', {
      ...closed,
      ...data.encrypted(),
      serverAccessLogsPrefix: 'results/',
      removalPolicy: RemovalPolicy.DESTROY,
      lifecycleRules: [{ expiration: Duration.days(30), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
    });
    Cleaner.clean(this.results, data.key);
    const workgroup = new athena.CfnWorkGroup(this, 'WorkGroup', {
      name: choices.value('WorkGroup'),
      description: `${name}: analysts, checks and dashboards`,
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: true,
        bytesScannedCutoffPerQuery: choices.number('ScanLimit'),
        engineVersion: { selectedEngineVersion: 'Athena engine version 3' },
        resultConfiguration: {
          outputLocation: `s3://${this.results.bucketName}/athena/`,
          encryptionConfiguration: { encryptionOption: 'SSE_KMS', kmsKey: data.key.keyArn },
        },
      },
    });
    this.workgroup = workgroup.ref;
  }

  get workgroupArn(): string {
    return Stack.of(this).formatArn({ service: 'athena', resource: 'workgroup', resourceName: this.workgroup });
  }

  /** The catalogue, the database and what is in it. */
  get arns(): string[] {
    const arn = (resource: string, resourceName?: string) =>
      Stack.of(this).formatArn({ service: 'glue', resource, ...(resourceName ? { resourceName } : {}) });
    return [arn('catalog'), arn('database', this.database), arn('table', `${this.database}/*`)];
  }

  private columns(columns: Column[]) {
    return columns.map(({ name, type }) => ({ name, type }));
  }

  private table(one: Table) {
    const lake = (text: string) => text.replaceAll('{lake}', this.data.lakeUrl);
    const parameters: Record<string, string> = { EXTERNAL: 'TRUE', classification: 'parquet' };
    for (const [key, value] of Object.entries(one.parameters)) parameters[key] = lake(value);
    this.made.push(new glue.CfnTable(this, `Table-${one.name}`, {
      catalogId: Aws.ACCOUNT_ID,
      databaseName: this.database,
      tableInput: {
        name: one.name,
        description: one.description,
        tableType: 'EXTERNAL_TABLE',
        parameters,
        partitionKeys: this.columns(one.keys),
        storageDescriptor: { ...FORMAT, columns: this.columns(one.columns), location: `${this.data.lakeUrl}/${one.location}/` },
      },
    }));
  }

  /** A view as Athena keeps it: its text and columns in a comment that is encoded. */
  private view(name: string, sql: string) {
    const types: Record<string, string> = { string: 'varchar' };
    const kept = {
      originalSql: sql, catalog: 'awsdatacatalog', schema: this.database,
      columns: BARS.map((column) => ({ name: column.name, type: types[column.type] ?? column.type })),
    };
    const view = new glue.CfnTable(this, `View-${name}`, {
      catalogId: Aws.ACCOUNT_ID,
      databaseName: this.database,
      tableInput: {
        name,
        description: (sql.split('\n')[0] ?? '').replace(/^-- (\w+: )?/, ''),
        tableType: 'VIRTUAL_VIEW',
        parameters: { presto_view: 'true', comment: 'Presto View' },
        partitionKeys: [],
        viewOriginalText: Fn.join('', ['/* Presto View: ', Fn.base64(Stack.of(this).toJsonString(kept)), ' */']),
        viewExpandedText: '/* Presto View */',
        storageDescriptor: { columns: this.columns(BARS), location: '', serdeInfo: {} },
      },
    });
    for (const before of this.made) view.addResourceDependency(before);
    this.made.push(view);
  }

  private crawl(): glue.CfnCrawler {
    const { data } = this;
    const group = '/aws-glue/crawlers';
    const role = new iam.Role(this, 'CrawlerRole', {
      assumedBy: ofThisAccount('glue.amazonaws.com'),
      description: 'Crawls the lake',
    });
    grant(role, ['s3:ListBucket', 's3:GetBucketLocation'], [data.lake.bucketArn]);
    grant(role, ['s3:GetObject'], this.tables.map((one) => data.lake.arnForObjects(`lake/${one.location}/*`)),
      { why: 'A crawler reads the files of a table.' });
    grant(role, ['kms:Decrypt'], [data.key.keyArn]);
    grant(role, [
      'glue:GetDatabase', 'glue:GetTable', 'glue:GetTables', 'glue:CreateTable', 'glue:UpdateTable', 'glue:GetPartition',
      'glue:GetPartitions', 'glue:BatchGetPartition', 'glue:BatchCreatePartition', 'glue:CreatePartition', 'glue:UpdatePartition',
    ], this.arns, { why: 'Each table of the one database.' });
    grant(role, ['logs:CreateLogGroup', 'logs:CreateLogStream', 'logs:PutLogEvents'],
      [Stack.of(this).formatArn({ service: 'logs', resource: 'log-group', resourceName: `${group}*`, arnFormat: ArnFormat.COLON_RESOURCE_NAME })],
      { why: 'The log group that all crawlers of an account share.' });
    const crawler = new glue.CfnCrawler(this, 'Crawler', {
      name: `${this.name}-crawler`,
      role: role.roleArn,
      databaseName: this.database,
      // The tables are declared; a crawl says what is there, and crawl-catalog compares.
      targets: { catalogTargets: [{ databaseName: this.database, tables: this.tables.map((one) => one.name) }] },
      schemaChangePolicy: { updateBehavior: 'LOG', deleteBehavior: 'LOG' },
      configuration: JSON.stringify({ Version: 1, CreatePartitionIndex: false, Grouping: { TableGroupingPolicy: 'CombineCompatibleSchemas' } }),
    });
    crawler.node.addDependency(role, ...this.made.slice(0, this.tables.length));
    acknowledge(crawler, 'AwsSolutions-GL1', 'The names of files in the log of crawlers are no secret; the log group is shared by the account.');
    return crawler;
  }
}
