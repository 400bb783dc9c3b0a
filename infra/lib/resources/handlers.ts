/** Functions that answer CloudFormation: what it cannot do by itself. Their text is in the template. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CustomResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { TOP } from '../sql';
import { acknowledge, grant, writeLog } from './access';

/** The text of a handler, with what all of them share before it. */
export function text(name: string): string {
  return ['answer', name].map((file) => readFileSync(join(TOP, 'infra', 'handlers', `${file}.py`), 'utf8')).join('\n\n');
}

export interface HandlerProps {
  readonly key: kms.IKey;
  readonly description: string;
  readonly timeout: Duration;
  readonly memory?: number;
  readonly environment?: Record<string, string>;
}

export class Handler extends Construct {
  readonly function: lambda.Function;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, name: string, props: HandlerProps) {
    super(scope, id);
    const group = new logs.LogGroup(this, 'Log', {
      encryptionKey: props.key, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'), description: props.description,
    });
    writeLog(this.role, group);
    this.function = new lambda.Function(this, 'Function', {
      description: props.description,
      runtime: lambda.Runtime.PYTHON_3_13,
      architecture: lambda.Architecture.ARM_64,
      handler: 'index.handler',
      code: lambda.Code.fromInline(text(name)),
      role: this.role, logGroup: group, timeout: props.timeout, memorySize: props.memory ?? 256,
      environment: props.environment ?? {},
    });
    acknowledge(this.function, 'AwsSolutions-L1', 'Supported until 2029; the handlers are tested with it.');
  }

  /** Permits actions; on objects of a bucket, since these have no name beforehand. */
  allow(actions: string[], resources: string[]) {
    grant(this.role, actions, resources, { why: 'Objects of a bucket of work; they have no name before they are written.' });
  }
}

/** Empties buckets of work that nobody misses, so that they go with their stack. */
export class Cleaner extends Construct {
  private readonly handler: Handler;

  private constructor(scope: Construct, key: kms.IKey) {
    super(scope, 'Cleaner');
    this.handler = new Handler(this, 'Empty', 'empty', {
      key, description: 'Empties a bucket before CloudFormation deletes it', timeout: Duration.minutes(15),
    });
  }

  static clean(bucket: s3.Bucket, key: kms.IKey) {
    const stack = Stack.of(bucket);
    const cleaner = (stack.node.tryFindChild('Cleaner') as Cleaner | undefined) ?? new Cleaner(stack, key);
    const { handler } = cleaner;
    handler.allow(['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads'], [bucket.bucketArn]);
    handler.allow(['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:AbortMultipartUpload'], [bucket.arnForObjects('*')]);
    const emptied = new CustomResource(bucket, 'Emptied', {
      resourceType: 'Custom::EmptyBucket', serviceToken: handler.function.functionArn,
      serviceTimeout: Duration.minutes(16), properties: { Bucket: bucket.bucketName },
    });
    // While it is emptied the handler must still be allowed to.
    emptied.node.addDependency(handler.role);
  }
}
