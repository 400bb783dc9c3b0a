/**
 * Programs that are always on, by choice: prices come in as a stream, the strategy's runner answers them with orders, the
 * broker adapter carries these out and says what became of them, and the guardian stops what breaks a limit. Each is one
 * task, never two: a new version is started after the old one has ended.
 */
import { Duration, Fn, RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kinesis from 'aws-cdk-lib/aws-kinesis';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Choices, Switch } from '../choices';
import { either, ifOn, optional } from '../optional';
import { acknowledge, grant, ofThisAccount, publishFigures, readLake, readWriteRecords, tell, useTable } from './access';
import { type Artifacts, type ServiceName, SERVICES } from './artifacts';
import type { Data } from './data';
import { container, type Engine, starter } from './engine';
import type { Network } from './network';

export interface TradingProps {
  readonly name: string;
  readonly choices: Choices;
  readonly data: Data;
  readonly network: Network;
  readonly engine: Engine;
  readonly artifacts: Artifacts;
  readonly topic: sns.ITopic;
  /** Environment of every program beside its own. */
  readonly environment: Record<string, string>;
}

/** What there is when something trades. */
export interface Made {
  readonly services: Record<ServiceName, ecs.CfnService>;
  /** What was asked for and could not be done, by what it was. */
  readonly undelivered: Record<'orders' | 'executions', sqs.Queue>;
}

type Roles = Record<ServiceName, iam.Role>;
const NAMES = Object.keys(SERVICES) as ServiceName[];
/** Who has credentials. */
const KEEPERS = ['market-data-adapter', 'broker-adapter'] as const;

export class Trading extends Construct {
  readonly on: Switch;
  readonly made: Made | undefined;

  constructor(scope: Construct, id: string, private readonly props: TradingProps) {
    super(scope, id);
    const { choices } = props;
    this.on = choices.isNot('Trading', 'off');
    const fix = optional(choices.is('Trading', 'fix'), this, 'Fix', (node) => this.toBroker(node));
    const roles = optional(this.on, this, 'Roles', (node) => this.roles(node));
    if (!roles) return;
    const keeps = choices.all('TradingAndSecret', this.on, choices.given('BrokerSecret'));
    const secret = optional(keeps, this, 'Secret', (node) => this.secret(node, roles));
    const executionRole = optional(this.on, this, 'Start', starter) as iam.Role;
    const pull = props.artifacts.grantPull(executionRole, 'PullForTrading', this.on);
    this.made = optional(this.on, this, 'Programs', (node) => {
      const made = this.live(node, roles, executionRole, fix);
      // What is started before it may do anything ends at once, and three times is a failed deployment. CloudFormation waits
      // for what a resource names, in its metadata too, where a name may be there by choice; `DependsOn` may not.
      const first = [...props.network.ways, pull, secret ? either(keeps, secret.ref, '') : ''].filter((one) => one !== '');
      for (const name of NAMES) {
        const service = made.services[name];
        service.node.addDependency(props.network.vpc.internetConnectivityEstablished, executionRole, roles[name]);
        if (first.length > 0) service.addMetadata('WaitsFor', first);
      }
      return made;
    });
  }

  /** A way to the broker's FIX server, which need not listen where HTTPS does. */
  private toBroker(node: Construct): ec2.CfnSecurityGroup {
    const port = this.props.choices.number('FixPort');
    return new ec2.CfnSecurityGroup(node, 'Group', {
      vpcId: this.props.network.vpc.vpcId, groupDescription: 'The broker adapter calls the FIX server, nothing calls it',
      securityGroupEgress: [{ ipProtocol: 'tcp', fromPort: port, toPort: port, cidrIp: '0.0.0.0/0', description: 'FIX' }],
    });
  }

  private roles(node: Construct): Roles {
    const { data, name } = this.props;
    const role = (program: ServiceName) => {
      const made = new iam.Role(node, program, { assumedBy: ofThisAccount('ecs-tasks.amazonaws.com'), description: `The program ${program}, always on` });
      readLake(made, data);
      publishFigures(made, name);
      return made;
    };
    return Object.fromEntries(NAMES.map((program) => [program, role(program)])) as Roles;
  }

  /** Credentials, for those who need them; no other program can read them, and nobody else's. */
  private secret(node: Construct, roles: Roles): iam.CfnPolicy {
    const secret = this.props.choices.value('BrokerSecret');
    const stack = Stack.of(this);
    const policy = new iam.Policy(node, 'Policy', { roles: KEEPERS.map((program) => roles[program]) });
    grant(policy, ['secretsmanager:GetSecretValue'], [secret]);
    grant(policy, ['kms:Decrypt'], [stack.formatArn({ service: 'kms', resource: 'key', resourceName: '*' })], {
      why: 'The secret may have a key of its own; by way of Secrets Manager, and for this one secret only.',
      conditions: { StringEquals: { 'kms:ViaService': `secretsmanager.${stack.region}.amazonaws.com`, 'kms:EncryptionContext:SecretARN': secret } },
    });
    return policy.node.defaultChild as iam.CfnPolicy;
  }

  private live(node: Construct, roles: Roles, executionRole: iam.Role, fix: ec2.CfnSecurityGroup | undefined): Made {
    const { choices, data, name, topic } = this.props;
    // One shard: what comes in has one order, and every run of the strategy sees the same one.
    const market = new kinesis.Stream(node, 'Market', {
      streamName: `${name}-market`, streamMode: kinesis.StreamMode.PROVISIONED, shardCount: 1, retentionPeriod: Duration.hours(24),
      encryption: kinesis.StreamEncryption.KMS, encryptionKey: data.key, removalPolicy: RemovalPolicy.DESTROY,
    });
    acknowledge(market, 'AwsSolutions-KDS3', 'The stack\'s key, so that its policy says who may read.');
    // An order that nobody took for a day was meant for another market than today's; what was executed is never late.
    const [orders, executions] = [this.queue(node, 'orders', Duration.days(1)), this.queue(node, 'executions', Duration.days(14))];

    this.allow(roles, market, orders.queue, executions.queue);
    const secret = { BROKER_SECRET: choices.value('BrokerSecret') };
    const stream = { MARKET_STREAM: market.streamName };
    const to = { ORDERS_QUEUE_URL: orders.queue.queueUrl };
    const back = { EXECUTIONS_QUEUE_URL: executions.queue.queueUrl };
    const journal = { JOURNAL_TABLE: data.journal.tableName };
    const environments: Record<ServiceName, Record<string, string>> = {
      'market-data-adapter': { FEED: choices.value('MarketFeed'), ...secret, ...stream },
      'broker-adapter': { BROKER: choices.value('Trading'), ...secret, ...journal, ...stream, ...to, ...back },
      'strategy-runner': { MODE: 'live', ...journal, ...stream, ...to, ...back, ARCHIVE: `s3://${data.archive.bucketName}/journal` },
      guardian: { ...journal, ...to, TOPIC_ARN: topic.topicArn },
    };
    const all = {
      LAKE: data.lakeUrl, RECORDS_TABLE: data.records.tableName, METRICS_NAMESPACE: name, STRATEGY: choices.value('TradingStrategy'),
      ...this.props.environment,
    };
    const service = (program: ServiceName) => this.service(node, program, roles[program], executionRole, { ...environments[program], ...all },
      program === 'broker-adapter' ? fix : undefined);
    return {
      services: Object.fromEntries(NAMES.map((program) => [program, service(program)])) as Made['services'],
      undelivered: { orders: orders.dead, executions: executions.dead },
    };
  }

  /** What is told in order, once; what fails five times steps aside, and raises an alarm. */
  private queue(node: Construct, id: string, retentionPeriod: Duration) {
    const { data, name } = this.props;
    const all = {
      fifo: true, encryption: sqs.QueueEncryption.KMS, encryptionMasterKey: data.key, enforceSSL: true, removalPolicy: RemovalPolicy.DESTROY,
    };
    const dead = new sqs.Queue(node, `${id}-undelivered`, { ...all, queueName: `${name}-${id}-undelivered.fifo`, retentionPeriod: Duration.days(14) });
    const queue = new sqs.Queue(node, id, {
      ...all, queueName: `${name}-${id}.fifo`, retentionPeriod, visibilityTimeout: Duration.minutes(1), receiveMessageWaitTime: Duration.seconds(20),
      deadLetterQueue: { queue: dead, maxReceiveCount: 5 },
    });
    return { queue, dead };
  }

  private allow(roles: Roles, market: kinesis.Stream, orders: sqs.Queue, executions: sqs.Queue) {
    const { data, topic } = this.props;
    const key = data.key.keyArn;
    const { 'market-data-adapter': prices, 'broker-adapter': broker, 'strategy-runner': runner, guardian } = roles;
    grant(prices, ['kinesis:PutRecords', 'kinesis:DescribeStreamSummary'], [market.streamArn]);
    grant(prices, ['kms:GenerateDataKey'], [key]);
    for (const reader of [broker, runner]) {
      grant(reader, ['kinesis:DescribeStreamSummary', 'kinesis:ListShards', 'kinesis:GetShardIterator', 'kinesis:GetRecords'], [market.streamArn]);
    }
    for (const [sender, queue] of [[runner, orders], [guardian, orders], [broker, executions]] as const) {
      grant(sender, ['sqs:SendMessage'], [queue.queueArn]);
      grant(sender, ['kms:GenerateDataKey', 'kms:Decrypt'], [key]);
    }
    for (const [receiver, queue] of [[broker, orders], [runner, executions]] as const) {
      grant(receiver, ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'], [queue.queueArn]);
    }
    // Each shows the others how far it is.
    useTable(prices, data, data.records, ['dynamodb:GetItem', 'dynamodb:PutItem'],
      { conditions: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['feed'] } } });
    useTable(broker, data, data.records, ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:Query']);
    readWriteRecords(runner, data);
    // Lines and the lease on them are written in one transaction.
    for (const writer of [broker, runner]) {
      useTable(writer, data, data.journal,
        ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:ConditionCheckItem', 'dynamodb:Query']);
    }
    // Locked by the bucket's own rule from the moment it is written; the runner can neither shorten that nor read.
    grant(runner, ['s3:PutObject', 's3:AbortMultipartUpload'], [data.archive.arnForObjects('journal/*')],
      { why: 'What is archived is called after its run, which has no name beforehand.' });
    grant(guardian, ['dynamodb:GetItem', 'dynamodb:Query'], [data.records.tableArn, data.journal.tableArn]);
    // It orders a strategy to stop, and rewrites no other record.
    useTable(guardian, data, data.records, ['dynamodb:PutItem', 'dynamodb:UpdateItem'],
      { conditions: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['control'] } } });
    // It takes the lease of a runner that does not obey, and writes no line.
    useTable(guardian, data, data.journal, ['dynamodb:PutItem', 'dynamodb:UpdateItem'],
      { conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['lease#*'] } } });
    grant(guardian, ['cloudwatch:GetMetricData'], ['*'], { why: 'Figures have no ARN.' });
    tell(guardian, data, topic);
  }

  private service(node: Construct, program: ServiceName, role: iam.Role, executionRole: iam.Role, environment: Record<string, string>, also?: ec2.CfnSecurityGroup) {
    const { artifacts, choices, data, engine, name, network } = this.props;
    const called = `${name}-live-${program}`;
    const { definition } = container(node, {
      program, family: called, ...SERVICES[program], role, executionRole, key: data.key, image: artifacts.image, environment,
      // As long as Fargate lets it: what was begun is written down.
      patience: Duration.minutes(2),
    });
    const groups = [network.securityGroup.securityGroupId];
    if (also) groups.push(Token.asString(ifOn(choices.is('Trading', 'fix'), also.attrGroupId)));
    return new ecs.CfnService(node, `Service-${program}`, {
      serviceName: called, cluster: engine.cluster.ref, taskDefinition: definition.taskDefinitionArn, launchType: 'FARGATE', desiredCount: 1,
      // The old task has ended before the new one begins. A second runner would be refused by the journal anyway.
      deploymentConfiguration: {
        minimumHealthyPercent: 0, maximumPercent: 100, deploymentCircuitBreaker: { enable: true, rollback: true },
      },
      // Moving a task between zones would start the new one first.
      availabilityZoneRebalancing: 'DISABLED',
      networkConfiguration: {
        awsvpcConfiguration: {
          subnets: Fn.split(',', network.subnets), securityGroups: groups,
          assignPublicIp: either(choices.is('PrivateNetwork', 'true'), 'DISABLED', 'ENABLED'),
        },
      },
      propagateTags: 'SERVICE',
    });
  }
}
