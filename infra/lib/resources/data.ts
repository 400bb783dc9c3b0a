/** What a stack keeps: the key, the lake, the archive, the records and the journal. They outlive it. */
import { Aws, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { acknowledge } from './access';

export class Data extends Construct {
  readonly key: kms.Key;
  readonly accessLogs: s3.Bucket;
  readonly lake: s3.Bucket;
  readonly archive: s3.Bucket;
  readonly records: dynamodb.Table;
  readonly journal: dynamodb.Table;
  /** `s3://bucket/prefix`, as the programs read it. */
  readonly lakeUrl: string;
  readonly exportsUrl: string;

  constructor(scope: Construct, id: string, name: string, choices: Choices) {
    super(scope, id);
    this.key = new kms.Key(this, 'Key', {
      description: `${name}: data, logs and messages`,
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    this.grantServices();

    this.accessLogs = new s3.Bucket(this, 'AccessLogs', {
      ...closed,
      // What S3 delivers its own logs to cannot have a key of ours.
      encryption: s3.BucketEncryption.S3_MANAGED,
      removalPolicy: RemovalPolicy.RETAIN,
      lifecycleRules: [{ expiration: Duration.days(365), abortIncompleteMultipartUploadAfter: Duration.days(7) }],
    });
    acknowledge(this.accessLogs, 'AwsSolutions-S1', 'It receives the access logs of the others; logging its own would never end.');

    this.lake = new s3.Bucket(this, 'Lake', {
      ...closed,
      ...this.encrypted(),
      versioned: true,
      removalPolicy: RemovalPolicy.RETAIN,
      serverAccessLogsPrefix: 'lake/',
      lifecycleRules: [
        { abortIncompleteMultipartUploadAfter: Duration.days(7), noncurrentVersionExpiration: Duration.days(365) },
        // Data Exchange and export-assets may both export a revision: the same bytes twice.
        { prefix: 'exports/', noncurrentVersionExpiration: Duration.days(7) },
      ],
    });
    this.lakeUrl = `s3://${this.lake.bucketName}/lake`;
    this.exportsUrl = `s3://${this.lake.bucketName}/exports`;

    this.archive = new s3.Bucket(this, 'Archive', {
      ...closed,
      ...this.encrypted(),
      versioned: true,
      objectLockEnabled: true,
      removalPolicy: RemovalPolicy.RETAIN,
      serverAccessLogsPrefix: 'archive/',
      lifecycleRules: [{ abortIncompleteMultipartUploadAfter: Duration.days(7) }],
    });
    const archive = this.archive.node.defaultChild as s3.CfnBucket;
    archive.addPropertyOverride('ObjectLockConfiguration', {
      ObjectLockEnabled: 'Enabled',
      Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Days: choices.number('ArchiveDays') } },
    });

    // Object Lock keeps every version; that the first one is the only one, this does: nobody writes over a name.
    this.archive.addToResourcePolicy(new iam.PolicyStatement({
      effect: iam.Effect.DENY,
      principals: [new iam.AnyPrincipal()],
      actions: ['s3:PutObject'],
      resources: [this.archive.arnForObjects('journal/*')],
      conditions: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
    }));

    this.records = this.table('Records', { name: 'pk', type: dynamodb.AttributeType.STRING }, { name: 'sk', type: dynamodb.AttributeType.STRING });
    // Also without Trading: were it made by choice, switching that off and on again would begin another, empty one, and
    // what is held at the broker would be forgotten. While nothing is in it it costs nothing.
    this.journal = this.table('Journal', { name: 'strategy', type: dynamodb.AttributeType.STRING }, { name: 'seq', type: dynamodb.AttributeType.NUMBER });

    // Data Exchange puts what it exports by itself under the landing place, and nowhere else.
    this.lake.addToResourcePolicy(new iam.PolicyStatement({
      principals: [new iam.ServicePrincipal('dataexchange.amazonaws.com')],
      actions: ['s3:PutObject', 's3:PutObjectAcl'],
      resources: [this.lake.arnForObjects('exports/*')],
      conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
    }));
  }

  private table(id: string, partitionKey: dynamodb.Attribute, sortKey: dynamodb.Attribute): dynamodb.Table {
    return new dynamodb.Table(this, id, {
      partitionKey, sortKey,
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      encryption: dynamodb.TableEncryption.CUSTOMER_MANAGED,
      encryptionKey: this.key,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: true,
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  /** How a bucket of ours is encrypted, and where its accesses are logged. */
  encrypted() {
    return {
      encryption: s3.BucketEncryption.KMS, encryptionKey: this.key, bucketKeyEnabled: true,
      serverAccessLogsBucket: this.accessLogs,
    };
  }

  /** Services that use the key in their own name; roles use it by their own policies. */
  private grantServices() {
    const account = { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } };
    const grant = (sid: string, service: string, actions: string[], conditions?: Record<string, unknown>) =>
      this.key.addToResourcePolicy(new iam.PolicyStatement({
        sid, principals: [new iam.ServicePrincipal(service)], actions, resources: ['*'], ...(conditions ? { conditions } : {}),
      }));
    const { region, account: id, partition } = Stack.of(this);
    grant('Logs', `logs.${region}.amazonaws.com`,
      ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
      { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${id}:log-group:*` } });
    grant('DeliveredLogs', 'delivery.logs.amazonaws.com', ['kms:Decrypt'], account);
    // Rules publish to the topic, and leave what failed in the queue. EventBridge gives no account to hold them against.
    grant('Rules', 'events.amazonaws.com', ['kms:Decrypt', 'kms:GenerateDataKey*']);
    for (const [sid, service] of [
      ['Alarms', 'cloudwatch.amazonaws.com'], ['Budgets', 'budgets.amazonaws.com'],
      ['DataExchange', 'dataexchange.amazonaws.com'],
    ] as const) {
      grant(sid, service, ['kms:Decrypt', 'kms:GenerateDataKey*'], account);
    }
  }
}

/** Nobody from outside, and nobody in the clear. */
export const closed = {
  blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
  objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
} satisfies s3.BucketProps;
