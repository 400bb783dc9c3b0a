/** Where people are told things. */
import { Aws } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { optional } from '../optional';
import type { Data } from './data';

export class Notices extends Construct {
  readonly topic: sns.Topic;

  constructor(scope: Construct, id: string, name: string, choices: Choices, data: Data) {
    super(scope, id);
    this.topic = new sns.Topic(this, 'Topic', { topicName: `${name}-notices`, masterKey: data.key, enforceSSL: true });
    const ours = { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } };
    for (const [service, conditions] of [
      ['cloudwatch.amazonaws.com', ours], ['budgets.amazonaws.com', ours],
      // EventBridge's targets know no conditions in the policy of a topic.
      ['events.amazonaws.com', undefined],
    ] as const) {
      this.topic.addToResourcePolicy(new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal(service)], actions: ['sns:Publish'], resources: [this.topic.topicArn],
        ...(conditions ? { conditions } : {}),
      }));
    }
    optional(choices.given('NotificationEmail'), this, 'Person', (node) =>
      new sns.CfnSubscription(node, 'Email', {
        topicArn: this.topic.topicArn, protocol: 'email', endpoint: choices.value('NotificationEmail'),
      }));
  }
}
