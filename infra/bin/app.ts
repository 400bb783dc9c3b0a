/** What `cdk deploy` runs. The configuration is algotrading.json beside cdk.json, or the file that `-c config=FILE` names. */
import { existsSync, readFileSync } from 'node:fs';
import { App } from 'aws-cdk-lib';
import { configuration, stacks } from '../lib/stacks';
import { CONTEXT } from '../lib/template';

const app = new App({ analyticsReporting: false, postCliContext: CONTEXT });
const named = app.node.tryGetContext('config') as string | undefined;
const file = named ?? 'algotrading.json';
try {
  if (named !== undefined && !existsSync(named)) throw new Error(`there is no file ${named}`);
  stacks(app, configuration(existsSync(file) ? readFileSync(file, 'utf8') : '{}'));
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exit(1);
}
app.synth();
