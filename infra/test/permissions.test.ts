/** What each role may do, as a list that a person has read: test/permissions.golden.txt. `UPDATE=1 npm test` writes it anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference';
import { TOP } from '../lib/sql';
import { one } from './support';

const GOLDEN = join(TOP, 'infra', 'test', 'permissions.golden.txt');
const listed = (value: unknown) => [value ?? []].flat();
/** A logical id without the hash that the CDK puts behind it. */
const short = (id: string) => id.replace(/[0-9A-F]{8}$/, '');
const flat = (value: unknown) => flattenCfnReference(value).replace(/<([A-Za-z0-9]+?)[0-9A-F]{8}([.>])/g, '<$1$2');

interface Statement { Effect: string; Action: unknown; Resource: unknown; Condition?: unknown }

function permissions(): Map<string, Statement[]> {
  const { Resources } = one().template;
  const found = new Map<string, Statement[]>();
  for (const [id, resource] of Object.entries(Resources)) {
    if (resource.Type === 'AWS::IAM::Role') {
      found.set(id, (resource.Properties['Policies'] ?? []).flatMap((policy: any) => policy.PolicyDocument.Statement));
    }
  }
  for (const resource of Object.values(Resources)) {
    if (resource.Type !== 'AWS::IAM::Policy') continue;
    for (const role of resource.Properties['Roles']) found.get(role.Ref)?.push(...resource.Properties['PolicyDocument'].Statement);
  }
  return found;
}

test('each role may do what its list says', () => {
  const lines = [...permissions()].sort().flatMap(([role, statements]) => [
    short(role),
    ...statements.flatMap((one) => listed(one.Resource).map(flat).sort().map((resource) =>
      `  ${resource}: ${listed(one.Action).join(' ')}${one.Condition ? ` if ${JSON.stringify(one.Condition).replace(/[0-9A-F]{8}(?=["\\])/g, '')}` : ''}`)).sort(),
  ]);
  const now = `${lines.join('\n')}\n`;
  if (process.env['UPDATE']) writeFileSync(GOLDEN, now);
  assert.equal(now, readFileSync(GOLDEN, 'utf8'), 'a role may do other things now; look, and write the list anew with UPDATE=1');
});

test('no role may do everything with anything', () => {
  // What has no ARN, or none beforehand.
  const anything = /^(xray:|logs:.*Deliver|logs:(Describe|Put)ResourcePolic|logs:DescribeLogGroups|logs:(List|Get|Create|Update|Delete)LogDeliver|ecr:GetAuthorizationToken|cloudwatch:(Put|Get)MetricData$|dataexchange:CreateJob)/;
  for (const [role, statements] of permissions()) {
    for (const one of statements) {
      assert.equal(one.Effect, 'Allow', role);
      for (const action of listed(one.Action) as string[]) {
        assert.doesNotMatch(action, /\*$/, `${role} may ${action}`);
        if (listed(one.Resource).some((resource) => resource === '*')) assert.match(action, anything, `${role} may ${action} on anything`);
      }
    }
  }
});

test('no role is one for two programs, and only a service may take it', () => {
  const roles = Object.entries(one().template.Resources).filter(([, resource]) => resource.Type === 'AWS::IAM::Role');
  for (const [id, role] of roles) {
    for (const statement of role.Properties['AssumeRolePolicyDocument'].Statement) {
      assert.deepEqual(Object.keys(statement.Principal), ['Service'], id);
    }
  }
  const functions = Object.values(one().template.Resources).filter((resource) => resource.Type === 'AWS::Lambda::Function');
  const used = functions.map((made) => JSON.stringify(made.Properties['Role']));
  assert.equal(new Set(used).size, used.length);
});

test('a service takes a role for this account only, unless it does not say for whom', () => {
  const open = Object.entries(one().template.Resources).filter(([, resource]) => resource.Type === 'AWS::IAM::Role').flatMap(([id, role]) =>
    role.Properties['AssumeRolePolicyDocument'].Statement
      .filter((statement: any) => JSON.stringify(statement.Condition) !== '{"StringEquals":{"aws:SourceAccount":{"Ref":"AWS::AccountId"}}}')
      .map((statement: any) => `${statement.Principal.Service} ${short(id)}`));
  // access.ts says why.
  assert.deepEqual(open.filter((line) => !line.startsWith('lambda.amazonaws.com ')).sort(), [
    'ecs-tasks.amazonaws.com EngineExecutionRole', 'ecs-tasks.amazonaws.com LiveStartExecutionRole', 'quicksight.amazonaws.com AnalyticsQuickSightRole',
  ]);
});

/** What a service asks of the key of whoever does something with what is encrypted with it. */
const NEEDS: [RegExp, string[]][] = [
  [/^sqs:SendMessage$|^sns:Publish$/, ['kms:GenerateDataKey', 'kms:Decrypt']],
  [/^sqs:ReceiveMessage$|^kinesis:GetRecords$|^s3:GetObject$/, ['kms:Decrypt']],
  [/^kinesis:PutRecords$|^s3:PutObject$/, ['kms:GenerateDataKey']],
  [/^dynamodb:(Put|Update)Item$/, ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo']],
];

test('whoever uses what is encrypted with the key may use the key', () => {
  const used = new Set<RegExp>();
  for (const [role, statements] of permissions()) {
    const key = statements.filter((one) => listed(one.Resource).some((resource) => /^<DataKey/.test(flat(resource)))).flatMap((one) => listed(one.Action));
    for (const one of statements) {
      // Of a bucket of ours; those of others have their own.
      if (!listed(one.Resource).some((resource) => flat(resource).startsWith('<'))) continue;
      for (const action of listed(one.Action) as string[]) {
        for (const [which, needed] of NEEDS.filter(([which]) => which.test(action))) {
          used.add(which);
          for (const need of needed) assert.ok(key.includes(need), `${role} may ${action}, and not ${need} the key that this needs`);
        }
      }
    }
  }
  assert.equal(used.size, NEEDS.length);
});

test('whoever reads objects of a bucket may list it: without, what is not there looks like what is forbidden', () => {
  for (const [role, statements] of permissions()) {
    const may = (action: string) => statements.filter((one) => listed(one.Action).includes(action)).flatMap((one) => listed(one.Resource).map(flat));
    const buckets = new Set(may('s3:GetObject').filter((one) => one.startsWith('<')).map((one) => one.replace(/>.*$/, '>')));
    for (const bucket of buckets) assert.ok(may('s3:ListBucket').includes(bucket), `${role} may not list ${bucket}`);
  }
});
