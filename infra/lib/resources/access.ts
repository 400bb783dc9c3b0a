/** What a role may do with what the stack keeps. */
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Data } from './data';

const allow = (role: iam.Role, actions: string[], resources: string[], conditions?: Record<string, unknown>) =>
  role.addToPolicy(new iam.PolicyStatement({ actions, resources, ...(conditions ? { conditions } : {}) }));

/** Folders of the lake that a role may read. */
export function readLake(role: iam.Role, data: Data, folders: string[] = ['lake']) {
  allow(role, ['s3:ListBucket'], [data.lake.bucketArn]);
  allow(role, ['s3:GetObject'], folders.map((folder) => data.lake.arnForObjects(`${folder}/*`)));
  allow(role, ['kms:Decrypt'], [data.key.keyArn]);
  below(role);
}

/** Also write: only the lock is ever removed. */
export function readWriteLake(role: iam.Role, data: Data, folders: string[] = ['lake', 'exports']) {
  readLake(role, data, folders);
  allow(role, ['s3:PutObject', 's3:AbortMultipartUpload'], [data.lake.arnForObjects('lake/*')]);
  allow(role, ['s3:DeleteObject'], [data.lake.arnForObjects('lake/.lock')]);
  allow(role, ['kms:GenerateDataKey'], [data.key.keyArn]);
}

export function readWriteRecords(role: iam.Role, data: Data) {
  allow(role, ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query'], [data.records.tableArn]);
  allow(role, ['kms:Decrypt'], [data.key.keyArn]);
}

/** Why a policy of ours may end in a star. */
export function below(role: iam.Role) {
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM5', reason: 'Objects below a folder of the one bucket, streams below a log group, traces: what a service cannot name beforehand.',
  });
}
