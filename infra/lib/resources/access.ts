/** What a role may do, and why where it may do so to more than one thing. */
import { Aws, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference';
import type { Construct } from 'constructs';
import type { Data } from './data';

/** Why a resource may have a star, and conditions. */
export interface Terms {
  readonly why?: string;
  readonly conditions?: Record<string, unknown>;
}

/** Permits actions on resources. A star among these needs a reason; it is acknowledged on the role, star by star. */
export function grant(role: iam.Role | iam.Policy, actions: string[], resources: string[], { why, conditions }: Terms = {}) {
  const statement = new iam.PolicyStatement({ actions, resources, ...(conditions ? { conditions } : {}) });
  if (role instanceof iam.Role) role.addToPolicy(statement);
  else role.addStatements(statement);
  for (const resource of resources) {
    const flat = flattenCfnReference(Stack.of(role).resolve(resource));
    if (!flat.includes('*')) continue;
    if (!why) throw new Error(`${role.node.path} may ${actions.join(', ')} on ${flat}; say why it may on all of these`);
    acknowledge(role, `AwsSolutions-IAM5[Resource::${flat}]`, why);
  }
}

/**
 * A service that may take a role, for a resource of this account only. Lambda and QuickSight do not say for whom they
 * take one, and for the role that starts a container ECS does not promise to: those are written without it.
 */
export function ofThisAccount(service: string): iam.ServicePrincipal {
  return new iam.ServicePrincipal(service, { conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } } });
}

/** A rule that a construct does not keep, with the reason. */
export function acknowledge(construct: Construct, id: string, reason: string) {
  Validations.of(construct).acknowledge({ id, reason });
}

/** What the CDK itself permits a traced function or machine: neither traces nor deliveries of logs have an ARN. */
export function traced(role: iam.Role) {
  acknowledge(role, 'AwsSolutions-IAM5[Resource::*]', 'X-Ray\'s traces, CloudWatch\'s figures and deliveries of logs have no ARN.');
}

const OBJECTS = 'Objects below a folder of the one bucket; they have no name before they are written.';

/** Folders of the lake that a role may read. */
export function readLake(role: iam.Role, data: Data, folders: string[] = ['lake']) {
  grant(role, ['s3:ListBucket'], [data.lake.bucketArn]);
  grant(role, ['s3:GetObject'], folders.map((folder) => data.lake.arnForObjects(`${folder}/*`)), { why: OBJECTS });
  grant(role, ['kms:Decrypt'], [data.key.keyArn]);
}

/** Also write. Only the lock is ever removed. */
export function readWriteLake(role: iam.Role, data: Data, folders: string[] = ['lake']) {
  readLake(role, data, folders);
  grant(role, ['s3:PutObject', 's3:AbortMultipartUpload'], [data.lake.arnForObjects('lake/*')], { why: OBJECTS });
  grant(role, ['s3:DeleteObject'], [data.lake.arnForObjects('lake/.lock')]);
  grant(role, ['kms:GenerateDataKey'], [data.key.keyArn]);
}

export function readWriteRecords(role: iam.Role, data: Data) {
  useTable(role, data, data.records, ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query']);
}

/** Uses one of the tables. */
export function useTable(role: iam.Role, data: Data, table: { tableArn: string }, actions: string[], terms?: Terms) {
  grant(role, actions, [table.tableArn], terms);
  // What DynamoDB asks of whoever writes into a table with a key of its own.
  grant(role, ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'], [data.key.keyArn]);
}

/** Publishes figures of one namespace. */
export function publishFigures(role: iam.Role, namespace: string) {
  grant(role, ['cloudwatch:PutMetricData'], ['*'],
    { why: 'Figures have no ARN; the namespace is the stack\'s.', conditions: { StringEquals: { 'cloudwatch:namespace': namespace } } });
}

/** Tells people. */
export function tell(role: iam.Role, data: Data, topic: { topicArn: string }) {
  grant(role, ['sns:Publish'], [topic.topicArn]);
  grant(role, ['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);
}

/** Writes the streams of one log group. */
export function writeLog(role: iam.Role, group: { logGroupArn: string }) {
  grant(role, ['logs:CreateLogStream', 'logs:PutLogEvents'], [group.logGroupArn], { why: 'Streams of the one log group.' });
}
