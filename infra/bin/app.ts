/** What `cdk deploy` runs. The configuration is algotrading.json beside cdk.json, or the file that `-c config=FILE` names. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { App } from 'aws-cdk-lib';
import { configuration, stacks } from '../lib/stacks';
import { CONTEXT } from '../lib/template';

const app = new App({ analyticsReporting: false, postCliContext: CONTEXT });
const named = app.node.tryGetContext('config') as string | undefined;
const file = named ?? 'algotrading.json';
try {
  if (named !== undefined && !existsSync(named)) throw new Error('there is no such file');
  const there = existsSync(file);
  if (there && statSync(file).isDirectory()) throw new Error('that is a folder; name the file in it');
  const read = configuration(there ? readFileSync(file, 'utf8') : '{}');
  // Who forgets the file would take everything away that it asks for.
  console.error(there ? `the configuration is ${file}` : `there is no ${file}: every choice is the default`);
  stacks(app, read);
} catch (error) {
  console.error(`error: ${file}: ${(error as Error).message}`);
  process.exit(1);
}
app.synth();
