/** The same modules as several stacks: what is kept apart from what comes and goes. */
import { type App, Stack, type StackProps, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Configured } from './choices';
import { acknowledge } from './resources/access';
import { type Artifacts, Local } from './resources/artifacts';
import { System } from './system';

/** What a person writes beside the choices. */
export interface Configuration {
  /** What all stacks' names begin with. */
  readonly name: string;
  readonly choices: Configured;
}

const NAME = /^[a-z][a-z0-9-]{0,30}$/;

/** Reads a configuration; throws one sentence where it is wrong. */
export function configuration(text: string): Configuration {
  let given: unknown;
  try {
    // Some editors begin a file with a mark that nobody sees.
    given = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new Error(`the configuration is no JSON: ${(error as Error).message}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Error('the configuration must be a JSON object such as {"Name": "algotrading", "DataSetId": "…"}');
  }
  const { Name: name = 'algotrading', ...choices } = given as Record<string, unknown>;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new Error(`\`Name\` must be small letters, digits and -, at most 31, and begin with a letter; it is ${JSON.stringify(name)}`);
  }
  return { name, choices: new Configured(choices) };
}

export function stacks(app: App, { name, choices }: Configuration, artifacts: (scope: Construct) => Artifacts = (scope) => new Local(scope)): System {
  const stack = (id: string, description: string, props: StackProps = {}) =>
    new Stack(app, id, { stackName: `${name}-${id.toLowerCase()}`, description: `${name}: ${description}`, ...props });
  const places = {
    data: stack('Data', 'lake, archive, records, catalogue', { terminationProtection: true }),
    platform: stack('Platform', 'network, functions, containers'),
    analytics: stack('Analytics', 'named queries, QuickSight, Lake Formation'),
    ml: stack('Ml', 'notebook, endpoint, training'),
    operations: stack('Operations', 'state machines, schedules, alarms'),
  };
  acknowledge(places.ml, 'CloudFormation-Validate::F0001', 'Without a choice it is empty, and the CDK passes over it.');
  Tags.of(app).add('application', name);
  return new System(places, { name, choices, artifacts });
}
