/** The one template. */
import { App, Aws, Stack, Tags } from 'aws-cdk-lib';
import { ARTIFACT_CHOICES, CHOICES, Parameters } from './choices';
import { acknowledge } from './resources/access';
import { Fetched } from './resources/artifacts';
import { OneFile } from './synthesizer';
import { System } from './system';

/** What the feature flags of new applications say. */
export const CONTEXT = {
  '@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy': true,
  '@aws-cdk/aws-iam:minimizePolicies': true,
  '@aws-cdk/core:checkSecretUsage': true,
  '@aws-cdk/core:enablePartitionLiterals': true,
  'aws:cdk:enable-asset-metadata': false,
  '@aws-cdk/aws-ec2:restrictDefaultSecurityGroup': false,
};

export function app(outdir?: string): { app: App; stack: Stack; system: System } {
  const made = new App({ analyticsReporting: false, context: CONTEXT, ...(outdir ? { outdir } : {}) });
  const stack = new Stack(made, 'algotrading', {
    synthesizer: new OneFile(),
    description: 'algotrading: end-of-day data from AWS Data Exchange to signals, orders and reports',
  });
  const choices = new Parameters(stack, { ...CHOICES, ...ARTIFACT_CHOICES });
  const system = new System(
    { data: stack, platform: stack, analytics: stack, ml: stack, operations: stack },
    { name: Aws.STACK_NAME, choices, artifacts: (scope, data) => new Fetched(scope, 'Artifacts', Aws.STACK_NAME, choices, data) },
  );
  acknowledge(stack, 'CloudFormation-Validate::W1030', 'Without a data set the event action is not made; its parameter is then empty.');
  acknowledge(stack, 'CloudFormation-Validate::W2509', 'BrokerSecret is the ARN of a secret, which the console may show; what is in it is given to Secrets Manager only.');
  Tags.of(stack).add('application', 'algotrading');
  return { app: made, stack, system };
}

/** The text of the template, as an object. */
export function template(): Record<string, unknown> {
  const made = app();
  return made.app.synth().getStackByName(made.stack.stackName).template as Record<string, unknown>;
}
