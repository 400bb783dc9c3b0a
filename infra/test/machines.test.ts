/** State machines as CloudFormation fills them in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { one } from './support';

const validator = require('asl-validator') as (definition: object) => { isValid: boolean; errors: unknown[] };

test('each definition is valid with its substitutions, and has one for each of its names', () => {
  const machines = Object.entries(one().template.Resources).filter(([, resource]) => resource.Type === 'AWS::StepFunctions::StateMachine');
  assert.ok(machines.length > 0);
  for (const [id, machine] of machines) {
    const { DefinitionString: text, DefinitionSubstitutions: given = {} } = machine.Properties;
    assert.equal(typeof text, 'string', id);
    const used = new Set([...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name));
    assert.deepEqual([...used].sort(), Object.keys(given).sort(), `${id}: names in the text, and what is substituted`);
    const filled = text.replace(/\$\{(\w+)\}/g, (_: string, name: string) =>
      name.endsWith('Arn') ? 'arn:aws:lambda:us-east-1:111122223333:function:one' : 'one');
    const { isValid, errors } = validator(JSON.parse(filled));
    assert.ok(isValid, `${id}: ${JSON.stringify(errors)}`);
  }
});
