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
  const anything = /^(xray:|logs:.*Deliver|logs:(Describe|Put)ResourcePolic|logs:DescribeLogGroups|logs:(List|Get|Create|Update|Delete)LogDeliver|ecr:GetAuthorizationToken|cloudwatch:PutMetricData|dataexchange:CreateJob)/;
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

test('whoever reads objects of a bucket may list it: without, what is not there looks like what is forbidden', () => {
  for (const [role, statements] of permissions()) {
    const may = (action: string) => statements.filter((one) => listed(one.Action).includes(action)).flatMap((one) => listed(one.Resource).map(flat));
    const buckets = new Set(may('s3:GetObject').filter((one) => one.startsWith('<')).map((one) => one.replace(/>.*$/, '>')));
    for (const bucket of buckets) assert.ok(may('s3:ListBucket').includes(bucket), `${role} may not list ${bucket}`);
  }
});
