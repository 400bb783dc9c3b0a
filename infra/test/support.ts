/** Applications to be judged. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Validations } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { AwsSolutionsChecks } from 'cdk-nag';
import { Configured, type ChoiceName } from '../lib/choices';
import { Placed } from '../lib/resources/artifacts';
import { stacks } from '../lib/stacks';
import { app as oneApp, CONTEXT } from '../lib/template';

export interface Resource {
  Type: string;
  Properties: Record<string, any>;
  Condition?: string;
  DependsOn?: string | string[];
  DeletionPolicy?: string;
}
export interface Template {
  Parameters: Record<string, { Default?: string; AllowedPattern?: string; AllowedValues?: string[] }>;
  Conditions: Record<string, unknown>;
  Resources: Record<string, Resource>;
  Outputs: Record<string, unknown>;
  Metadata: Record<string, unknown>;
}
export type Given = Partial<Record<ChoiceName, string>>;

/** Choices with which everything is made that may be made. */
export const EVERYTHING: Given = {
  DataSetId: '0123456789abcdef0123456789abcdef', NotificationEmail: 'somebody@example.com', Model: 'forecast',
  Endpoint: 'serverless', ModelImage: '111122223333.dkr.ecr.eu-central-1.amazonaws.com/model:1', ModelData: 's3://bucket/model.tar.gz',
  Notebook: 'true', PrivateNetwork: 'true', Trading: 'paper', TradingStrategy: 'sma',
  BrokerSecret: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:broker-AbCdEf',
  QuickSightPrincipalArn: 'arn:aws:quicksight:eu-central-1:111122223333:user/default/analyst',
  LakeFormationPrincipalArn: 'arn:aws:iam::111122223333:role/analyst',
};

/** The several stacks for a configuration. */
export function several(choices: Given = {}): Record<string, Template> {
  const app = new App({ analyticsReporting: false, context: CONTEXT });
  stacks(app, { name: 'fund', choices: new Configured(choices) }, (scope) =>
    new Placed(s3.Bucket.fromBucketName(scope, 'Programs', 'programs'), 'v1', 'image'));
  return Object.fromEntries(app.synth().stacks.map((stack) => [stack.id, stack.template as Template]));
}

let held: { template: Template; findings: string[] } | undefined;
/** The one template, and what cdk-nag and the CDK's own validation find in it. */
export function one(): { template: Template; findings: string[] } {
  if (!held) {
    const outdir = mkdtempSync(join(tmpdir(), 'algotrading-infra-'));
    const made = oneApp(outdir);
    Validations.of(made.app).addPlugins(new AwsSolutionsChecks(made.app));
    const usual = console.error;
    console.error = () => {};
    try {
      made.app.synth();
    } catch {
      // The report says why.
    } finally {
      console.error = usual;
      process.exitCode = 0;
    }
    const read = (file: string) => JSON.parse(readFileSync(join(outdir, file), 'utf8'));
    const report = read('validation-report.json') as Report;
    const findings = report.pluginReports.flatMap(({ violations }) => violations.flatMap((one) =>
      one.violatingConstructs.map((where) => `${one.ruleName} at ${where.constructPath}: ${one.description}`)));
    held = { template: read('algotrading.template.json') as Template, findings };
    rmSync(outdir, { recursive: true });
  }
  return held;
}

interface Report {
  pluginReports: { violations: { ruleName: string; description: string; violatingConstructs: { constructPath: string }[] }[] }[];
}
