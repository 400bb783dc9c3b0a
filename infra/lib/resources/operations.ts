/** What runs the day, and what tells people and acts when it does not run as it should. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArnFormat, Aws, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as budgets from 'aws-cdk-lib/aws-budgets';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { either, optional } from '../optional';
import { TOP } from '../sql';
import { acknowledge, grant, ofThisAccount, traced } from './access';
import { FUNCTIONS, type FunctionName } from './artifacts';
import type { Data } from './data';
import type { Engine } from './engine';
import type { Ingest } from './ingest';
import type { Trading } from './trading';

export interface OperationsProps {
  readonly name: string;
  readonly choices: Choices;
  readonly data: Data;
  readonly ingest: Ingest;
  readonly engine: Engine;
  readonly topic: sns.ITopic;
  readonly trading: Trading;
  /** The offline AWS sends its own events: nobody may send them in AWS's name. */
  readonly exchangeSources?: string[];
}

/** What the text of a state machine calls a function. */
function substitution(name: string): string {
  return `${name.split('-').map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join('')}Arn`;
}

/** The text of a state machine. */
export function machine(name: string): string {
  return readFileSync(join(TOP, 'infra', 'state-machines', `${name}.asl.json`), 'utf8');
}

export class Operations extends Construct {
  readonly eod: sfn.StateMachine;
  readonly deadLetters: sqs.Queue;
  readonly alarms: cloudwatch.CfnAlarm[] = [];

  constructor(scope: Construct, id: string, private readonly props: OperationsProps) {
    super(scope, id);
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      queueName: `${props.name}-dead-letters`,
      encryption: sqs.QueueEncryption.KMS, encryptionMasterKey: props.data.key, enforceSSL: true,
      retentionPeriod: Duration.days(14), removalPolicy: RemovalPolicy.DESTROY,
    });
    acknowledge(this.deadLetters, 'AwsSolutions-SQS3', 'It is the queue of dead letters.');
    this.eod = this.machine();
    this.schedules();
    this.rules();
    this.watch();
    this.dashboard();
    this.budget();
  }

  private machine(): sfn.StateMachine {
    const { name, data, ingest, topic } = this.props;
    const group = new logs.LogGroup(this, 'EodLog', {
      logGroupName: `/aws/vendedlogs/states/${name}-eod`, encryptionKey: data.key,
      retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(this, 'EodRole', {
      assumedBy: ofThisAccount('states.amazonaws.com'),
      description: 'The end-of-day state machine',
    });
    const names = Object.keys(FUNCTIONS) as FunctionName[];
    const arns = Object.fromEntries(names.map((one) => [substitution(one), ingest.function(one).functionArn]));
    grant(role, ['lambda:InvokeFunction'], Object.values(arns));
    grant(role, ['sns:Publish'], [topic.topicArn]);
    grant(role, ['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);
    traced(role);
    return new sfn.StateMachine(this, 'Eod', {
      stateMachineName: `${name}-eod`,
      definitionBody: sfn.DefinitionBody.fromString(machine('eod')),
      definitionSubstitutions: { ...arns, TopicArn: topic.topicArn },
      role, tracingEnabled: true,
      logs: { destination: group, level: sfn.LogLevel.ALL, includeExecutionData: false },
    });
  }

  /** Nothing is scheduled before there is something to take in. */
  private schedules() {
    const { choices, name, ingest } = this.props;
    const state = either(choices.given('DataSetId'), 'ENABLED', 'DISABLED');
    const role = new iam.Role(this, 'SchedulerRole', {
      assumedBy: ofThisAccount('scheduler.amazonaws.com'),
      description: 'Starts the day, and asks whether it was',
    });
    const [watch, exports] = [ingest.function('watch-pnl'), ingest.function('export-assets')];
    grant(role, ['states:StartExecution'], [this.eod.stateMachineArn]);
    grant(role, ['lambda:InvokeFunction'], [watch.functionArn, exports.functionArn]);
    grant(role, ['sqs:SendMessage'], [this.deadLetters.queueArn]);
    grant(role, ['kms:GenerateDataKey', 'kms:Decrypt'], [this.props.data.key.keyArn]);
    const schedule = (id: string, description: string, expression: string, target: string, input: object) =>
      new scheduler.CfnSchedule(this, `Schedule-${id}`, {
        name: `${name}-${id}`, description, state,
        flexibleTimeWindow: { mode: 'OFF' },
        scheduleExpression: expression,
        scheduleExpressionTimezone: choices.value('ScheduleTimezone'),
        target: {
          arn: target, roleArn: role.roleArn, input: JSON.stringify(input),
          deadLetterConfig: { arn: this.deadLetters.queueArn },
          retryPolicy: { maximumRetryAttempts: 10, maximumEventAgeInSeconds: 3600 },
        },
      });
    schedule('eod', 'The end of day, four hours before it is missed', choices.value('Schedule'),
      this.eod.stateMachineArn, { time: '<aws.scheduler.scheduled-time>' });
    schedule('watch', 'Whether the last day that was due has finished', WATCH, watch.functionArn, { scheduled: true });
    schedule('reconcile', 'Revisions whose event was lost', RECONCILE, exports.functionArn, {});
  }

  private rules() {
    const { choices, ingest, name, topic } = this.props;
    const exports = ingest.function('export-assets');
    const letters = { deadLetterConfig: { arn: this.deadLetters.queueArn } };
    const arns: string[] = [];
    const published = optional(choices.given('DataSetId'), this, 'Published', (node) => {
      const rule = new events.CfnRule(node, 'Rule', {
        name: `${name}-published`,
        description: 'A revision was published: it is exported',
        eventPattern: {
          source: this.props.exchangeSources ?? ['aws.dataexchange'],
          'detail-type': ['Revision Published To Data Set'], resources: [choices.value('DataSetId')],
        },
        targets: [{ id: 'export', arn: exports.functionArn, ...letters }],
      });
      permit(node, 'Permission', exports, 'events.amazonaws.com', rule.attrArn);
      return rule;
    });
    if (published) arns.push(`arn:${Aws.PARTITION}:events:${Aws.REGION}:${Aws.ACCOUNT_ID}:rule/${name}-published`);
    const ended = new events.CfnRule(this, 'Ended', {
      name: `${name}-ended`,
      description: 'What the machine cannot catch: its own time-out, and a person who stops it',
      eventPattern: {
        source: ['aws.states'], 'detail-type': ['Step Functions Execution Status Change'],
        detail: { stateMachineArn: [this.eod.stateMachineArn], status: ['TIMED_OUT', 'ABORTED'] },
      },
      targets: [{
        id: 'people', arn: topic.topicArn, ...letters,
        inputTransformer: {
          inputPathsMap: { run: '$.detail.name', status: '$.detail.status' },
          inputTemplate: '"The end-of-day run <run> ended as <status> before it was done. Start it again for the same session."',
        },
      }],
    });
    arns.push(ended.attrArn);
    this.deadLetters.addToResourcePolicy(new iam.PolicyStatement({
      principals: [new iam.ServicePrincipal('events.amazonaws.com')], actions: ['sqs:SendMessage'],
      resources: [this.deadLetters.queueArn], conditions: { ArnEquals: { 'aws:SourceArn': arns } },
    }));
  }

  private watch() {
    const { choices, engine, ingest, name, topic } = this.props;
    for (const [id, group] of [['', ingest.logs.get('ingest-bars')], ['InTask', engine.logs.get('ingest-task')]] as const) {
      for (const metric of ['read', 'quarantined']) {
        new logs.CfnMetricFilter(this, `Rows${id}-${metric}`, {
          logGroupName: group?.logGroupName ?? '',
          filterPattern: `{ $.${metric} >= 0 }`,
          metricTransformations: [{ metricNamespace: name, metricName: `Rows${metric === 'read' ? 'Read' : 'Quarantined'}`, metricValue: `$.${metric}` }],
        });
      }
    }
    const alarm = (id: string, words: string, props: Partial<cloudwatch.CfnAlarmProps>, node: Construct = this, more: string[] = []) => {
      const made = new cloudwatch.CfnAlarm(node, `Alarm-${id}`, {
        alarmName: `${name}-${id}`,
        alarmDescription: `${words} What to do: docs/runbook.md, ${id}.`,
        comparisonOperator: 'GreaterThanOrEqualToThreshold', threshold: 1, evaluationPeriods: 1,
        treatMissingData: 'notBreaching',
        // No word when it is over: most figures come once a day, and silence afterwards mends nothing.
        alarmActions: [topic.topicArn, ...more],
        ...props,
      });
      this.alarms.push(made);
      return made;
    };
    const own = (metricName: string, statistic: string, period: number) => ({ namespace: name, metricName, statistic, period });

    // Those that timed out or were stopped are told by a rule.
    alarm('failed-run', 'A day ended before it was done.', {
      namespace: 'AWS/States', metricName: 'ExecutionsFailed', statistic: 'Sum', period: 300,
      dimensions: [{ name: 'StateMachineArn', value: this.eod.stateMachineArn }],
    });
    // Every day, weekends too: a figure that stays away is as bad as one that says so.
    optional(choices.given('DataSetId'), this, 'Due', (node) =>
      alarm('missing-run', 'The last day that was due has not finished, or nobody asked whether it has.', {
        ...own('MissingRun', 'Maximum', 86_400), treatMissingData: 'breaching',
      }, node));
    // A figure of an older day keeps the alarm above quiet for a while; that nobody asked for a day is seen here. The
    // day on which summer time ends has 25 hours.
    optional(choices.given('DataSetId'), this, 'Asked', (node) =>
      alarm('watch-silent', 'Nobody has asked for more than a day whether the last one has finished.', {
        namespace: 'AWS/Lambda', metricName: 'Invocations', statistic: 'Sum', period: 3600,
        dimensions: [{ name: 'FunctionName', value: ingest.function('watch-pnl').functionName }],
        comparisonOperator: 'LessThanThreshold', evaluationPeriods: 26, datapointsToAlarm: 26, treatMissingData: 'breaching',
      }, node));
    const breach = alarm('breach', 'A strategy has broken a limit, or has no figures.', own('Breach', 'Maximum', 300), this,
      [ingest.function('watch-pnl').functionArn]);
    // Whoever published the figure has acted on it; the alarm has it look again at the session that has just closed, so
    // that one lost call is not enough.
    permit(this, 'BreachPermission', ingest.function('watch-pnl'), 'lambda.alarms.cloudwatch.amazonaws.com', breach.attrArn);
    alarm('quarantine-rate', 'Too many rows of a day were refused.', {
      comparisonOperator: 'GreaterThanThreshold', threshold: choices.number('QuarantinePercent'),
      metrics: [
        { id: 'read', returnData: false, metricStat: { metric: { namespace: name, metricName: 'RowsRead' }, period: 3600, stat: 'Sum' } },
        { id: 'refused', returnData: false, metricStat: { metric: { namespace: name, metricName: 'RowsQuarantined' }, period: 3600, stat: 'Sum' } },
        { id: 'rate', expression: 'IF(read > 0, 100 * refused / read, 0)', label: 'percent', returnData: true },
      ],
    });
    alarm('dead-letters', 'A schedule or an event did not reach its target.', {
      namespace: 'AWS/SQS', metricName: 'ApproximateNumberOfMessagesVisible', statistic: 'Maximum', period: 300,
      dimensions: [{ name: 'QueueName', value: this.deadLetters.queueName }],
    });
    const { made, on } = this.props.trading;
    optional(made ? on : false, this, 'Live', (node) => {
      for (const [program, service] of Object.entries(made?.services ?? {})) {
        // Five minutes: a new version needs two or three between the last word of the old one and its own first.
        const silent = alarm(`${program}-silent`, `The program ${program} has said nothing for five minutes.`, {
          ...own('Heartbeat', 'SampleCount', 60), dimensions: [{ name: 'Program', value: program }],
          comparisonOperator: 'LessThanThreshold', evaluationPeriods: 5, datapointsToAlarm: 5, treatMissingData: 'breaching',
        }, node);
        // Not before it has begun to speak.
        silent.node.addDependency(service);
      }
      for (const [what, queue] of Object.entries(made?.undelivered ?? {})) {
        alarm(`${what}-undelivered`, `Some ${what} were taken five times, and nobody could do anything with them.`, {
          namespace: 'AWS/SQS', metricName: 'ApproximateNumberOfMessagesVisible', statistic: 'Maximum', period: 60,
          dimensions: [{ name: 'QueueName', value: queue.queueName }],
        }, node);
      }
    });
    for (const one of ['watch-pnl', 'export-assets'] as const) {
      alarm(`${one}-errors`, `The function ${one} fails outside the state machine too.`, {
        namespace: 'AWS/Lambda', metricName: 'Errors', statistic: 'Sum', period: 300,
        dimensions: [{ name: 'FunctionName', value: ingest.function(one).functionName }],
      });
    }
  }

  private dashboard() {
    const { name, ingest } = this.props;
    const { region } = Stack.of(this);
    const search = (metric: string, stat: string) =>
      [[{ expression: `SEARCH('{"${name}",Strategy} MetricName="${metric}"', '${stat}', 86400)`, id: metric.toLowerCase() }]];
    const graph = (title: string, x: number, y: number, metrics: unknown[][], more: object = {}) => ({
      type: 'metric', x, y, width: 12, height: 6,
      properties: { title, region, view: 'timeSeries', stat: 'Sum', period: 300, metrics, ...more },
    });
    const names = Object.keys(FUNCTIONS) as FunctionName[];
    new cloudwatch.CfnDashboard(this, 'Dashboard', {
      dashboardName: name,
      dashboardBody: Stack.of(this).toJsonString({
        widgets: [
          graph('Equity', 0, 0, search('Equity', 'Average'), { period: 86_400 }),
          graph('Drawdown', 12, 0, search('Drawdown', 'Maximum'), { period: 86_400 }),
          graph('Days', 0, 6, ['ExecutionsSucceeded', 'ExecutionsFailed', 'ExecutionsTimedOut', 'ExecutionsAborted'].map((metric) =>
            ['AWS/States', metric, 'StateMachineArn', this.eod.stateMachineArn])),
          graph('Rows', 12, 6, [[name, 'RowsRead'], [name, 'RowsQuarantined']]),
          graph('Functions: longest, in milliseconds', 0, 12, names.map((one) =>
            ['AWS/Lambda', 'Duration', 'FunctionName', ingest.function(one).functionName, { stat: 'Maximum' }])),
          graph('Functions: errors', 12, 12, names.map((one) =>
            ['AWS/Lambda', 'Errors', 'FunctionName', ingest.function(one).functionName])),
          // Empty unless something trades; a graph in a body of text cannot be left out by a condition.
          graph('Programs that are always on: beats a minute', 0, 18,
            [[{ expression: `SEARCH('{"${name}",Program} MetricName="Heartbeat"', 'SampleCount', 60)`, id: 'heartbeat' }]], { period: 60 }),
          graph('Orders and executions: seconds that the oldest has waited', 12, 18, ['orders', 'executions'].map((what) =>
            ['AWS/SQS', 'ApproximateAgeOfOldestMessage', 'QueueName', `${name}-${what}.fifo`, { stat: 'Maximum' }]), { period: 60 }),
          { type: 'alarm', x: 0, y: 24, width: 24, height: 3, properties: { title: 'Alarms', alarms: this.alarms.map((one) => this.alarmArn(one)) } },
        ],
      }),
    });
  }

  /** By its name: an alarm that is made by choice may not be there, and the dashboard passes over it. */
  private alarmArn(alarm: cloudwatch.CfnAlarm): string {
    return Stack.of(this).formatArn({ service: 'cloudwatch', resource: 'alarm', resourceName: alarm.alarmName ?? '', arnFormat: ArnFormat.COLON_RESOURCE_NAME });
  }

  private budget() {
    const { choices, name, topic } = this.props;
    const on = choices.isNot('MonthlyBudget', '0');
    const notification = (type: string, threshold: number) => ({
      notification: { notificationType: type, comparisonOperator: 'GREATER_THAN', threshold, thresholdType: 'PERCENTAGE' },
      subscribers: [{ subscriptionType: 'SNS', address: topic.topicArn }],
    });
    optional(on, this, 'Costs', (node) => {
      new budgets.CfnBudget(node, 'Budget', {
        budget: {
          budgetName: `${name}-monthly`, budgetType: 'COST', timeUnit: 'MONTHLY', budgetLimit: { amount: choices.number('MonthlyBudget'), unit: 'USD' },
        },
        notificationsWithSubscribers: [notification('ACTUAL', 80), notification('FORECASTED', 100)],
      });
    });
  }
}

const WATCH = 'cron(30 22 * * ? *)';
const RECONCILE = 'cron(0 2 * * ? *)';

function permit(scope: Construct, id: string, target: lambda.Function, service: string, source: string) {
  new lambda.CfnPermission(scope, id, {
    action: 'lambda:InvokeFunction', functionName: target.functionName, principal: service, sourceArn: source,
  });
}
