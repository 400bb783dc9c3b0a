/** What is only made where a switch is on. */
import { Aspects, Aws, CfnResource, Fn, Token } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import type { Switch } from './choices';

/**
 * Makes resources below a node of their own. Where only CloudFormation knows the switch, each of them, and what
 * constructs add to them later, gets its condition.
 */
export function optional<T>(on: Switch, scope: Construct, id: string, make: (scope: Construct) => T): T | undefined {
  if (on === false) return undefined;
  const node = new Construct(scope, id);
  const made = make(node);
  if (on !== true) {
    Aspects.of(node).add({
      visit: (one) => {
        if (CfnResource.isCfnResource(one)) one.cfnOptions.condition ??= on;
      },
    });
  }
  return made;
}

/** One of two values. */
export function either(on: Switch, yes: string, no: string): string {
  if (typeof on === 'boolean') return on ? yes : no;
  return Token.asString(Fn.conditionIf(on.logicalId, yes, no));
}

/** A value of a property, or none at all. */
export function ifOn(on: Switch, value: unknown): unknown {
  if (typeof on === 'boolean') return on ? value : undefined;
  return Fn.conditionIf(on.logicalId, value, Aws.NO_VALUE);
}
